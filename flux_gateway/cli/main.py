"""`flux`: finds the command, loads only its module, and turns errors into one readable line."""

import importlib
import os
import sys
from typing import Any

import click

from flux_gateway import __version__
from flux_gateway.core.errors import ConfigError, FluxError

COMMANDS = {
    "up": "start the whole cluster on this machine",
    "down": "stop everything that `flux up` started",
    "status": "show nodes and proxies",
    "verify": "check that the cluster serves clients",
    "demo": "break things while clients talk, and show what they saw",
    "drill": "one fault against one node, with clients talking",
    "drain": "make a node give up its sessions",
    "undrain": "let a drained node take sessions again",
    "kill": "kill -9 a process of the cluster",
    "restart": "stop and start a process of the cluster",
    "rolling-restart": "restart every gateway, one after another, with clients connected",
    "scale": "change the number of gateways",
    "rebalance": "move sessions to where their slots rank them now",
    "forget": "remove a stopped or dead node from the registry",
    "logs": "show the logs",
    "stat": "one line per interval of a node's inner life",
    "top": "live view of the cluster in the terminal",
    "publish": "publish into a channel, as a server would",
    "load": "clients that send numbered messages and count what they see",
    "redis": "redis-cli on the cluster's Redis",
    "gateway": "run a gateway node (daemon)",
    "proxy": "run a proxy (daemon)",
    "keeper": "run a proxy's keeper (daemon)",
    "dashboard": "run the dashboard (daemon)",
    "supervisor": "run the supervisor (daemon; `flux up` starts it)",
}
"""Every command with its line in the help. The command itself is `command` in the module of its name, `_` for `-`."""


class _LazyGroup(click.Group):
    """Knows the commands by name; imports the module of the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"flux_gateway.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flux")
@click.option("--debug", is_flag=True, help="Show the whole trace when something fails. May stand anywhere.")
@click.option(
    "--state-dir",
    envvar="FLUX_STATE_DIR",
    type=click.Path(file_okay=False),
    help="Where the cluster of this machine keeps its state.  [env FLUX_STATE_DIR; default: .flux]",
)
@click.option(
    "--deployed",
    envvar="FLUX_DEPLOYED",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="File that tells where a deployed cluster is.  [env FLUX_DEPLOYED; default, if there is no .flux here: "
    "/etc/flux/flux.toml]",
)
@click.pass_context
def cli(ctx: click.Context, debug: bool, state_dir: str | None, deployed: str | None) -> None:
    """Flux Gateway Cluster: a WebSocket gateway cluster for plain VMs.

    The commands work on a cluster of this machine (`flux up`), or, on a host that Ansible has set up, on the deployed
    one.

    \b
    Example:
      flux up && flux verify && flux status
    """
    # Both are read by `selection.chosen`, when a command needs a cluster.


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line. Exit status 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given or bool(os.environ.get("FLUX_DEBUG"))
    given = [argument for argument in given if argument != "--debug"]
    try:
        return cli.main(args=given, prog_name="flux", standalone_mode=False) or 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except ConfigError as error:
        for fault in error.faults:
            click.echo(f"flux: {fault}", err=True)
        return 2
    except BrokenPipeError:  # `flux logs | head`
        sys.stderr.close()
        return 1
    except FluxError as error:
        if debug:
            raise
        click.echo(f"flux: {error}", err=True)
        return 1
    except Exception as error:
        # A daemon's trace belongs into its log; on a terminal it helps only who asks for it.
        if debug or not sys.stderr.isatty():
            raise
        click.echo(f"flux: {type(error).__name__}: {error}; `flux --debug ...` shows the trace", err=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
