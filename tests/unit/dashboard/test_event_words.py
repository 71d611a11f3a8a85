"""The page knows every kind of event: words, and an icon that is drawn."""

import re
from pathlib import Path

from flux_gateway.core.timeline import EventKind
from flux_gateway.dashboard import app

FOLDER = Path(app.__file__).parent
KIND = re.compile(r'^  (\w+): \["(\w+)", "(\w+)", "([^"]+)"\],$', re.MULTILINE)


def test_every_kind_of_event_has_words_a_colour_and_an_icon() -> None:
    script = (FOLDER / "static/js/events.js").read_text()
    kinds = {kind: (shape, state) for kind, shape, state, _ in KIND.findall(script)}
    assert kinds.keys() == {str(kind) for kind in EventKind}
    icons = set(re.findall(r'id="i-(\w+)"', (FOLDER / "templates/icons.html").read_text()))
    colours = set(re.findall(r'\[data-state="(\w+)"\]', (FOLDER / "static/css/tokens.css").read_text()))
    assert {shape for shape, _ in kinds.values()} <= icons
    assert {state for _, state in kinds.values()} <= colours
