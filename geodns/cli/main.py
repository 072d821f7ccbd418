"""The commands by name; each is loaded only when it is called."""

import sys
from importlib import import_module
from typing import Any

import click

from geodns import __version__
from geodns.errors import GeodnsError, printable_lines

_COMMANDS = {
    "serve": "answer DNS for the zones in a folder",
    "check": "read zone files and print every problem",
    "init": "write the shortest zone file",
    "status": "show what a running server deals, and the state of every host",
    "events": "show what has happened, and follow what happens",
    "query": "ask a running server, and show who is behind the answer",
    "explain": "say why a name is answered as it is",
    "simulate": "deal clients what they would get, before they ask",
    "probe": "probe a mail host once, with the transcript",
    "drain": "take a host out of all answers",
    "undrain": "give it back",
    "quarantine": "take a host out whose mail may be refused",
    "force": "hold a host up or down, whatever its probes find",
    "weight": "give a host another weight for a while",
    "clear": "end all overrides of a host",
    "reputation": "show what became of hosts' mail and what stands against them",
    "experiments": "show the arms of experiments, and whether they differ beyond chance",
    "route": "say where a message leaves by the routes of a zone, rule by rule",
    "routes": "show the rules by which messages leave, and which never matched",
    "warmup": "show how new IPs are warmed up; hold, resume, restart or skip-to",
    "export-state": "write all overrides to a file",
    "import-state": "take up overrides from a file",
    "upgrade": "have a running server go on as another version of it",
    "reload": "have a running server read its zone files anew",
    "querylog": "have a running server log its queries for a while",
    "import": "turn a BIND zone file or an octoDNS zone into a zone file",
    "export": "print a zone as a zone file that every name server reads",
    "generate": "print what a mail server needs to ask which pool mail leaves by",
    "follow": "read a mail server's log, and post what became of its mail",
    "report": "write how hosts fared as one HTML file",
    "shared": "show who is heard of the servers that judge together",
    "delegation": "say what to put at a zone's parent, and whether it is there",
    "schema": "print the JSON Schema of zone files",
    "demo": "run a name server and three mail servers on this machine",
}
_FILES = {
    **dict.fromkeys(("drain", "undrain", "quarantine", "force", "weight", "clear"), "orders"),
    **dict.fromkeys(("check", "init", "schema"), "zonefiles"),
    **dict.fromkeys(("export-state", "import-state"), "state"),
    **dict.fromkeys(("import", "export"), "convert.command"),
    **dict.fromkeys(("reload", "querylog"), "server"),
    "report": "report.command",
    "follow": "follow.command",
    "generate": "generate.command",
}
_FUNCTIONS = {
    "import": "import_zone",
    "export": "export_zone",
    "export-state": "export_state",
    "import-state": "import_state",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"geodns.cli.{_FILES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, _FUNCTIONS.get(cmd_name, cmd_name))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            client = sys.modules.get(
                "geodns.cli.client"
            )  # where a command has not asked, it is our own fault
            url = client and ctx.meta.get(client.ANSWERED)
            if client is None or url is None:
                raise
            raise client.misread(url, error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="geodns")
def geodns() -> None:
    """An authoritative DNS server that balances mail hosts."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its status: 0 good, 1 a problem found, 2 wrong usage, 3 late, 4 unkept."""
    try:
        geodns(args=arguments, prog_name="geodns")
    except GeodnsError as error:
        # It may quote a server; several problems have a line each.
        click.echo(f"geodns: {printable_lines(str(error))}", err=True)
        sys.exit(error.status)


if __name__ == "__main__":
    main()
