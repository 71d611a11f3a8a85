"""Running the machine's own commands."""

import subprocess


class CommandFailed(Exception):
    """A command ended with another status than 0; the text holds what it said."""


def run(*argv: str, check: bool = True, timeout: float = 60.0, input_text: str | None = None) -> str:
    """Return what the command printed. Raises `CommandFailed`, with its words, unless it ended with status 0."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=timeout, check=False, input=input_text,
            stdin=None if input_text is not None else subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{' '.join(argv)}: not done after {timeout:g} s") from error
    if check and done.returncode:
        said = (done.stderr + done.stdout).strip()
        raise CommandFailed(f"{' '.join(argv)}: status {done.returncode}: {said[-2000:]}")
    return done.stdout
