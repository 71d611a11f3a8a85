"""Which cluster a command is about: one of this machine, or a deployed one.

In this order: what is given (`--state-dir` or `--deployed`, a flag before an environment variable), `.flux` in the
current directory, `/etc/flux/flux.toml`.
"""

from pathlib import Path

import click

from flux_gateway.cli.cluster import Cluster
from flux_gateway.cli.deployed import FILE, DeployedCluster
from flux_gateway.cli.local import LocalCluster
from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor.state_dir import StateDir

STATE_DIR = ".flux"
_COMMANDLINE = click.core.ParameterSource.COMMANDLINE


def chosen(ctx: click.Context) -> StateDir | Path:
    """Return the state directory, or the file of the deployed cluster, that the command line names or that is here.

    Neither needs to exist. Raises `UsageError` when two are named.
    """
    group = ctx.find_root()
    state_dir, deployed = group.params["state_dir"], group.params["deployed"]
    if state_dir and deployed:
        flags = [name for name in ("state_dir", "deployed") if group.get_parameter_source(name) is _COMMANDLINE]
        if len(flags) == 2:
            raise click.UsageError("--state-dir and --deployed name two clusters: give one of them", ctx)
        if flags == ["deployed"]:
            state_dir = None
    return choose(state_dir, deployed)


def choose(state_dir: str | None = None, deployed: str | None = None, default: Path = FILE) -> StateDir | Path:
    """Return the cluster meant by what is given, or else by what exists; the state directory if nothing does."""
    if state_dir is not None:
        return StateDir(state_dir)
    if deployed is not None:
        return Path(deployed)
    if not Path(STATE_DIR).is_dir() and _exists(default):
        return default
    return StateDir(STATE_DIR)


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except PermissionError:  # /etc/flux is closed to this user: there is a deployed cluster, and reading it says so
        return True


def cluster_of(ctx: click.Context) -> Cluster:
    """Return the cluster that the command is about."""
    found = chosen(ctx)
    return DeployedCluster(found) if isinstance(found, Path) else LocalCluster(found.path)


def local_state(ctx: click.Context, instead: str) -> StateDir:
    """Return the state directory. Raises `CommandError` on a deployed cluster, saying what to do `instead`."""
    found = chosen(ctx)
    if isinstance(found, Path):
        raise CommandError(
            f"`flux {ctx.info_name}` is for a cluster of one machine; this one is deployed ({found}). "
            f"Instead: {instead}"
        )
    return found


def local_cluster(ctx: click.Context, instead: str) -> LocalCluster:
    """Return the cluster of this machine. Raises `CommandError` on a deployed one, saying what to do `instead`."""
    return LocalCluster(local_state(ctx, instead).path)
