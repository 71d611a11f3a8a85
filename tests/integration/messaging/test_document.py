"""Every example of docs/messaging.md that is a whole program is run as it stands there, in order."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import free_port
from tests.integration.messaging.scene import Scene, running
from tests.processes import connects, until
from tests.sdk import javascript
from tests.sdk.python import PythonClient

PAGE = (Path(__file__).parents[3] / "docs" / "messaging.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NETWORK = 63


def block(language: str, word: str) -> str:
    """Return the one block of a language that has a word in it."""
    (found,) = [text for kind, text in BLOCKS if kind == language and word in text]
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A cluster as `./start.sh` makes it."""
    with running(tmp_path_factory.mktemp("document") / ".flux", NETWORK) as made:
        yield made


def placed(scene: Scene, text: str) -> str:
    """Return a text with the addresses of this cluster instead of those of the page."""
    return text.replace("127.0.0.1:8080", f"127.0.0.1:{scene.cluster.port}").replace("127.0.2.1", f"127.{NETWORK}.2.1")


def run(scene: Scene, *argv: str) -> str:
    """Run a program beside the state directory, and return what it printed."""
    done = subprocess.run(
        argv, cwd=scene.cluster.state_dir.parent, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def save(scene: Scene, language: str, name: str) -> str:
    text = placed(scene, block(language, name))
    (scene.cluster.state_dir.parent / name).write_text(text)
    return name


def token(scene: Scene, user: str) -> str:
    return run(scene, sys.executable, save(scene, "python", "make_token.py"), user).strip()


def test_the_python_client(scene: Scene) -> None:
    said = run(scene, sys.executable, save(scene, "python", "talk.py"), token(scene, "ada"))
    assert "{'text': 'hello from Python'}" in said
    assert "PresenceStatsResult(num_clients=1, num_users=1)" in said
    assert re.search(r"newest: \{'text': 'hello from Python'\} at \d+", said)


@pytest.mark.skipif(bool(javascript.why_not()), reason=javascript.why_not() or "the SDK is there")
def test_the_javascript_client_hears_the_command_line_and_curl(scene: Scene) -> None:
    folder = scene.cluster.state_dir.parent
    save(scene, "js", "listen.mjs")
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(javascript.FOLDER / "node_modules")
    argv = ["node", "listen.mjs", token(scene, "ada")]
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, text=True) as listener:
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline().startswith("subscribed")
            (command,) = re.findall(r"^flux (publish .*?)  ", block("sh", "node listen"), re.MULTILINE)
            channel, text = re.fullmatch(r"publish (\S+) '(.*)'", command).groups()  # type: ignore[union-attr]
            scene.cluster.flux("publish", channel, text)
            assert "{ text: 'hello' }" in listener.stdout.readline()
            if shutil.which("curl"):
                assert '"offset"' in run(scene, "bash", "-c", placed(scene, block("sh", "curl")))
                assert "{ text: 'from curl' }" in listener.stdout.readline()
        finally:
            listener.kill()


def test_the_back_end_with_cent(scene: Scene) -> None:
    said = run(scene, sys.executable, save(scene, "python", "announce.py"))
    assert re.match(r"offset \d+", said)
    assert "gateway-3 0 clients" in said


@pytest.mark.parametrize("name", ["rules.toml", "webhook_connect_url"])
def test_the_rules_are_accepted(scene: Scene, tmp_path: Path, name: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(block("toml", name))
    # The cluster is up already, so that this judges the file and starts nothing.
    done = scene.cluster.flux("up", "--messaging", str(file), check=False)
    assert "is running already" in done.stderr, done.stderr


def test_the_webhook_s_back_end(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "doorman.py").write_text(block("python", "doorman.py").replace("3000", str(port)))
    (tmp_path / "rules.toml").write_text(block("toml", "webhook_connect_url").replace("3000", str(port)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLASK")}
    with subprocess.Popen([sys.executable, "doorman.py"], cwd=tmp_path, env=environment,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as doorman:  # fmt: skip
        try:
            until(lambda: connects(("127.0.0.1", port)), "the doorman listens")
            rules = ("--messaging", str(tmp_path / "rules.toml"))
            with running(tmp_path / "s", NETWORK + 1, *rules) as scene, PythonClient(scene.url, data="phone") as client:
                client.connect()
                client.subscribe("club:bar")
                client.begin_subscribe("club:office")
                assert client.wait("unsubscribed", channel="club:office")["code"] == 403
        finally:
            doorman.kill()
