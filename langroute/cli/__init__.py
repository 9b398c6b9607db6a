"""Command line interface.

The only part of langroute that prints or reads environment variables. Each command has its own module, which is imported
when it is called, so that `langroute --help` is fast and a missing extra affects only the commands that need it.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module

import click

from langroute._version import __version__
from langroute.core.errors import LangrouteError
from langroute.core.plain_text import printable

COMMANDS = {
    "serve": ("langroute.cli.serve", "serve", "Serve coding agents: an HTTP endpoint that routes their requests."),
    "outcome": ("langroute.cli.serve", "outcome", "Tell a gateway or a ledger what came of a session or task."),
    "top": ("langroute.cli.top", "top", "Show the sessions that are under way."),
    "local": ("langroute.cli.local", "local", "Fetch, start, list and stop local models."),
    "demo": ("langroute.cli.demo", "demo", "Run a coding agent on local models: cheap, frontier and routed."),
    "autopilot": ("langroute.cli.autopilot", "autopilot", "Show what an autopilot has proven, and undo its changes of mind."),
    "explain": ("langroute.cli.explain", "explain", "Say why a route was chosen."),
    "analyze": ("langroute.cli.learn", "analyze", "Find where the money goes."),
    "advise": ("langroute.cli.advise", "advise", "Say which routes to leave and which trials are worth it."),
    "collect": ("langroute.cli.collect", "collect", "Ask other routes about recorded requests, and score the answers."),
    "fit": ("langroute.cli.learn", "fit", "Fit a routing policy on recorded outcomes."),
    "replay": ("langroute.cli.learn", "replay", "Say what a policy would have done on recorded traffic."),
    "export": ("langroute.cli.ledger", "export", "Write a ledger as traffic, one JSON object a line."),
    "report": ("langroute.cli.report", "report", "Show what was spent and what came of it."),
    "dashboard": ("langroute.cli.report", "dashboard", "Serve the report as a live page on loopback."),
    "review": ("langroute.cli.review", "review", "Rate decisions worth a person's look."),
    "alert": ("langroute.cli.alert", "alert", "Exit with an error on drift, budget burn or a drop in success."),
    "cache": ("langroute.cli.cache", "cache", "Look into the response cache, and purge it."),
}
"""Command name → module, attribute, first line of its help."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="langroute")
def cli() -> None:
    """Send each step of an agent to the cheapest model that will do, and prove that quality held."""


def main() -> None:
    """Run the command line; langroute's own errors and file errors end in one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Characters that the terminal's encoding lacks are replaced by question marks instead of raising.
            stream.reconfigure(errors="replace")
    try:
        cli()
    except (LangrouteError, OSError) as error:
        # Exit code 1 means an alert of `alert`, so errors such as a full disk need another code.
        click.echo(printable(f"langroute: {error}"), err=True)
        # Otherwise Python would flush standard output again at exit, fail, and set its own exit code.
        sys.stdout = io.StringIO()
        sys.exit(2)
