"""The command line: `homunculus COMMAND`. Owns names, options and exit codes; each command's work has a module of its own.

Exit codes: 0 done · 1 the input is invalid · 2 `plan` found changes · 3 failed while running · 64 wrong usage ·
130 interrupted. stdout carries only the result, the log goes to stderr.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from homunculus import __version__
from homunculus.cli import memory, output, recap
from homunculus.errors import ConfigError, ConfigErrors, HomunculusError, InUse, NotReady, Refused, Uncertain
from homunculus.logs import set_up

_UsageError: Any = typer.BadParameter.__mro__[1]  # the one name that typer keeps across its own and an outside click
INVALID, FAILED, USAGE, INTERRUPTED = 1, 3, 64, 130
_CODES = {NotReady: "not_ready", Refused: "refused", Uncertain: "uncertain"}  # try again, do not, or go and look

app = typer.Typer(
    name="homunculus",
    help="One YAML file puts many role-play characters into chat channels, and keeps them there.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The deployment file.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Text = Annotated[str | None, typer.Option(show_default=False)]


def _version(asked: bool) -> None:
    if asked:
        output.say(f"homunculus {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    set_up("WARNING")


@app.command()
def serve(
    file: File,
    strict: Annotated[
        bool, typer.Option("--strict", help="End on an invalid file, or on an adapter that cannot start.")
    ] = False,
    no_watch: Annotated[bool, typer.Option("--no-watch", help="Do not follow changes of the file.")] = False,
    log_format: Annotated[Literal["text", "json"], typer.Option(help="How log lines look.")] = "text",
) -> None:
    """Run a deployment until stopped. Saving the file changes it live."""
    from homunculus.cli.serve import serve as run

    set_up("INFO", log_format)
    raise typer.Exit(asyncio.run(run(file, strict=strict, watch=not no_watch)))


@app.command()
def check(file: File, as_json: AsJson = False) -> None:
    """Print every error and warning of a deployment file, with positions."""
    from homunculus.cli import inspect

    raise typer.Exit(inspect.check(file, as_json))


@app.command()
def plan(
    file: File,
    old: Annotated[Path | None, typer.Option("--from", help="Compare with this file instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what applying FILE would change, and each change's effect."""
    from homunculus.cli import inspect

    raise typer.Exit(inspect.show_plan(file, old, as_json))


@app.command()
def route(
    file: File,
    platform: Annotated[str, typer.Option(help="discord, telegram, slack, twitch or local.")],
    adapter: Text = None,
    guild: Text = None,
    workspace: Text = None,
    channel: Text = None,
    chat: Text = None,
    user: Text = None,
    dm: Annotated[bool, typer.Option("--dm", help="A direct message.")] = False,
    mention: Annotated[bool, typer.Option("--mention", help="The bot is mentioned.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every rule in order, the first failing condition of each, and who would answer."""
    from homunculus.cli import inspect
    from homunculus.runtime.probe import Probe

    probe = Probe(platform, adapter, guild, workspace, channel, chat, user or "", dm, mention)
    raise typer.Exit(inspect.route(file, probe, as_json))


@app.command()
def chat(
    file: File, agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="Whom to talk to.")] = None
) -> None:
    """Talk to an NPC in the terminal."""
    from homunculus.cli.chat import chat as talk

    raise typer.Exit(talk(file, agent))


@app.command()
def status(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Without it: all that run here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show adapters, agents and the reload state of the running server."""
    from homunculus.cli.status import status as show

    raise typer.Exit(show(file, as_json))


@app.command()
def prompt(
    file: File,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Whose prompt.")],
    text: Annotated[str, typer.Option(help="What somebody says to it.")] = "Hello.",
    as_json: AsJson = False,
) -> None:
    """Print exactly what a model would get, and the tokens of each part."""
    from homunculus.cli.prompt import prompt as show

    raise typer.Exit(show(file, agent, text, as_json))


@app.command()
def send(
    file: File,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is said.")],
    adapter: Annotated[str, typer.Option(help="A runtime key: discord, telegram:support … A platform is its default.")],
    target: Annotated[str, typer.Option(help="A place's id, <place>#<thread>, or dm:<user>.")],
    as_json: AsJson = False,
) -> None:
    """Say something through a running server, as the bot itself."""
    from homunculus.cli.send import send as say

    raise typer.Exit(say(file, adapter, target, text, as_json))


@app.command()
def schema(name: Annotated[Literal["deployment", "character"], typer.Argument(help="Which one.")]) -> None:
    """Print a JSON Schema."""
    from homunculus.cli import inspect

    raise typer.Exit(inspect.schema(name))


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where.")] = Path()) -> None:
    """Write a first deployment with its characters; nothing that is there is touched."""
    from homunculus.cli import setup

    raise typer.Exit(setup.init(folder))


cards = typer.Typer(help="Character cards: bring them in from elsewhere, give them away.", no_args_is_help=True)
app.add_typer(cards, name="card")

Card = Annotated[Path, typer.Argument(metavar="SRC", help="A card: JSON, PNG or CHARX.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@cards.command("import")
def card_import(
    source: Card,
    folder: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="The characters folder.", show_default=False)
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn a card into native YAML with its portrait beside it."""
    from homunculus.cli import card

    raise typer.Exit(card.import_card(source, folder, as_json, force=force))


@cards.command("export")
def card_export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A character's name, or the file of a card.")],
    target: Annotated[Path, typer.Argument(metavar="DEST", help="What to write: a .png or a .json file.")],
    folder: Annotated[
        Path | None, typer.Option("--characters", metavar="DIR", help="The characters folder.", show_default=False)
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a card that other programs read: tavern V2 and V3 in a PNG, or JSON."""
    from homunculus.cli import card

    raise typer.Exit(card.export_card(name, target, folder, as_json, force=force))


@cards.command("show")
def card_show(source: Card, as_json: AsJson = False) -> None:
    """Show what a card says, and what of it would not be used. Writes nothing."""
    from homunculus.cli import card

    raise typer.Exit(card.show_card(source, as_json))


@app.command("fetch-model")
def fetch_model() -> None:
    """Get the embedded model's weights (98 MB), unless they are here."""
    from homunculus.cli import setup

    raise typer.Exit(setup.fetch_model())


memory.app.command("recap")(recap.recap)
memory.app.command("sessions")(recap.sessions)
app.add_typer(memory.app)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Never raises."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = app(args=words, standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except _UsageError as error:
        output.note(error.format_message(), "bold red")
        output.note("homunculus --help lists the commands and options")
        return USAGE
    except HomunculusError as error:
        return _failed(error, as_json="--json" in words)
    return result if isinstance(result, int) else 0


def _failed(error: HomunculusError, as_json: bool) -> int:
    """Say what went wrong, in the form that was asked for; return the exit code."""
    findings = error.errors if isinstance(error, ConfigErrors) else ()
    if as_json:
        code = _CODES.get(type(error), "invalid" if isinstance(error, ConfigError | InUse) else "failed")
        output.show_json({"error": {"code": code, "message": str(error), "details": [*map(output.finding, findings)]}})
    elif findings:
        output.show_findings(findings, ())
    else:
        output.note(str(error), "bold red")
    return INVALID if isinstance(error, ConfigError | InUse) else FAILED


def main() -> None:
    """Stand behind the `homunculus` script."""
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the result has seen enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
