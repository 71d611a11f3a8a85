"""Where the hosts' files are. Nothing of them lies in the repository."""

from pathlib import Path

CACHE = Path("/var/cache/flux-test-hosts")
"""Base file systems and the ssh key: kept between runs."""

LAB = Path("/var/lib/flux-test-hosts")
"""What the running hosts have written, one folder each; removed with the host."""

KEY = CACHE / "id_ed25519"

SSH_OPTIONS = (
    "-o", "StrictHostKeyChecking=no",
    "-o", "UserKnownHostsFile=/dev/null",
    "-o", "LogLevel=ERROR",
    "-o", "ConnectTimeout=5",
)  # fmt: skip
