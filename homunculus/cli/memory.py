"""`homunculus memory …`: what an NPC remembers, from the files themselves, whether or not a server runs.

A running server finds what is changed here within a second; both write under one lock. Owns words and tables, no memory.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from homunculus.cli import output
from homunculus.errors import ConfigError, Where
from homunculus.interfaces import Namespace
from homunculus.memory.lines import stamp
from homunculus.model import Deployment, Fact, Note

T = TypeVar("T")

app = typer.Typer(
    name="memory",
    help="What an NPC remembers: list, search, add, edit, pin, forget, archive, restore, export.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The deployment file.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAMESPACE", help="Whose memory.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("list")
def list_facts(
    file: File,
    namespace: Annotated[str | None, typer.Argument(metavar="[NAMESPACE]", help="Without it: every memory.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the memories of a deployment, or the facts of one."""
    deployment = deployed(file)
    if namespace is not None:
        _show_facts(_with(deployment, namespace, _facts), as_json)
        return
    rows = [(name, agent, len(_with(deployment, name, _facts))) for name, agent in namespaces(deployment).items()]
    if as_json:
        output.show_json([{"namespace": name, "agent": agent or None, "facts": facts} for name, agent, facts in rows])
    else:
        table = [(name, agent or "nobody", _count(facts)) for name, agent, facts in rows]
        output.show_table("Memories", ("namespace", "agent", "facts"), table)


@app.command()
def search(
    file: File,
    namespace: Name,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for, in any words.")],
    number: Annotated[int, typer.Option("-n", min=1, max=1000, metavar="K", help="How many at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Find facts by words and by meaning, best first."""

    async def work(memory: Namespace) -> tuple[Fact, ...]:
        await memory.settled()
        return await memory.search(query, None, number)

    _show_facts(_with(deployed(file), namespace, work), as_json)


@app.command()
def add(
    file: File,
    namespace: Name,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The fact; - reads one a line from stdin.")],
    source: Annotated[str, typer.Option(help="Who said it, and where.")] = "command line",
    session: Annotated[str, typer.Option(help="In which session.", show_default=False)] = "",
    date: Annotated[str, typer.Option(help="When, in the game's world.", show_default=False)] = "",
    open_: Annotated[
        bool, typer.Option("--open/--gm", help="Whether players may be shown it, or it is the game master's.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a fact; when this ends, it is on the disk. The NPC knows it, and players are shown it only with --open."""
    said = [line for line in sys.stdin.read().split("\n") if line.strip()] if text == "-" else [text]
    notes = [Note(line, source, session, date, gm=not open_) for line in said]

    async def work(memory: Namespace) -> tuple[Fact, ...]:
        return await memory.add(*notes) if notes else ()

    facts = _with(deployed(file), namespace, work)
    _show_facts(facts, as_json)
    if open_ and (secret := [fact.id for fact in facts if not fact.open]):
        output.note(f"{', '.join(secret)} was known already and stays secret; forget it first to add it openly")


@app.command()
def edit(
    file: File,
    namespace: Name,
    ident: Annotated[str, typer.Argument(metavar="ID", help="The id of a fact.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What it says from now on.")],
    as_json: AsJson = False,
) -> None:
    """Put other words in a fact's place; its id, its source and who may be shown it stay."""

    async def work(memory: Namespace) -> tuple[Fact, Fact]:
        (before,) = await _all_known(file, memory, [ident])
        return before, await memory.amend(ident, text)

    before, after = _with(deployed(file), namespace, work)
    _show_facts([after], as_json)
    output.note(f"before: {before.text}")


@app.command()
def forget(
    file: File,
    namespace: Name,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of facts, as a search shows them.")],
    as_json: AsJson = False,
) -> None:
    """Take facts out; restore brings each back."""

    async def work(memory: Namespace) -> tuple[Fact, ...]:
        await _all_known(file, memory, ids)  # all or none: a mistyped id must not leave half of it done
        return tuple([await memory.forget(ident) for ident in dict.fromkeys(ids)])

    _show_facts(_with(deployed(file), namespace, work), as_json)


@app.command()
def pin(
    file: File,
    namespace: Name,
    ident: Annotated[str, typer.Argument(metavar="ID", help="The id of a fact.")],
    off: Annotated[bool, typer.Option("--off", help="No longer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have a fact recalled always."""

    async def work(memory: Namespace) -> tuple[Fact, ...]:
        await _all_known(file, memory, [ident])
        return (await memory.pin(ident, pinned=not off),)

    _show_facts(_with(deployed(file), namespace, work), as_json)


@app.command()
def archive(file: File, namespace: Name, as_json: AsJson = False) -> None:
    """Put a whole memory away and begin a blank one, all or nothing."""
    name = _with(deployed(file), namespace, lambda memory: memory.archive())
    if as_json:
        output.show_json({"archive": name})
    else:
        output.say(name)


@app.command()
def restore(
    file: File,
    namespace: Name,
    what: Annotated[
        str | None,
        typer.Argument(metavar="[WHAT]", help="An archive's name or a fact's id; without it: what there is."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring back a forgotten fact, or a whole archive in place of the present memory, which is archived."""
    deployment = deployed(file)
    if what is not None:

        async def bring(memory: Namespace) -> str:
            if what not in await memory.archives():
                await _all_known(file, memory, [what], await memory.forgotten())
            return await memory.restore(what)

        done = _with(deployment, namespace, bring)
        if as_json:
            output.show_json({"restored": what, "message": done})
        else:
            output.say(done)
        return

    async def work(memory: Namespace) -> tuple[tuple[str, ...], tuple[Fact, ...]]:
        return await memory.archives(), await memory.forgotten()

    archives, forgotten = _with(deployment, namespace, work)
    if as_json:
        output.show_json({"archives": list(archives), "forgotten": [shown(fact) for fact in forgotten]})
        return
    rows = [(name, "archive", "", "") for name in archives]
    output.show_table("To restore", ("name", "time", "text", "source"), [*rows, *(_row(fact) for fact in forgotten)])


@app.command()
def export(
    file: File,
    namespace: Name,
    target: Annotated[
        Path | None, typer.Argument(metavar="[TARGET]", help="A file that does not exist yet; default: stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write all facts as Markdown, or with --json as JSON."""
    facts = _with(deployed(file), namespace, _facts)
    text = json.dumps([shown(fact) for fact in facts], ensure_ascii=False, indent=2) if as_json else exported(facts)
    if target is None:
        output.say(text)
        return
    try:
        with target.open("x", encoding="utf-8") as opened:
            opened.write(text + "\n")
    except FileExistsError as error:
        raise ConfigError(Where(str(target)), "it exists already", "name a file that does not") from error
    except OSError as error:
        raise ConfigError(Where(str(target)), f"it cannot be written: {error.strerror}") from error
    output.note(f"{_count(len(facts))} facts are in {target}")


def deployed(file: Path) -> Deployment:
    """Load the deployment file. Raise ConfigErrors."""
    from homunculus.cli.inspect import load

    return load(file).deployment


def namespaces(deployment: Deployment) -> dict[str, str]:
    """Return every namespace and the agent it belongs to: those of the file, then those that only have a folder."""
    from homunculus.container import memory_folders

    declared = {agent.namespace: agent.id for agent in deployment.agents}
    home = memory_folders(deployment, "any")[0].parent
    there = sorted(path.parent.name for path in home.glob("*/memory") if path.is_dir() and not path.parent.is_symlink())
    return declared | {name: "" for name in there if name not in declared}


def shown(fact: Fact) -> dict[str, Any]:
    """Return a fact as plain data."""
    about = {"session": fact.session, "date": fact.date, "private": fact.private}
    return {
        "id": fact.id,
        "text": fact.text,
        "score": round(fact.score, 6),
        "time": stamp(fact.time) if fact.time else None,
        "source": fact.source,
        **{key: value for key, value in about.items() if value},
        **{mark: True for mark, is_so in (("gm", fact.gm), ("pinned", fact.pinned)) if is_so},
    }


def exported(facts: Sequence[Fact]) -> str:
    """Return facts as Markdown that `add -` or a person can take in again."""
    return "\n".join(f"- {fact.text}" for fact in facts)


async def _all_known(
    file: Path, memory: Namespace, ids: Sequence[str], among: Sequence[Fact] | None = None
) -> list[Fact]:
    known = {fact.id: fact for fact in (among if among is not None else await memory.facts())}
    if missing := [ident for ident in ids if ident not in known]:
        fix = "memory search and memory list show the ids, memory restore what can be brought back"
        raise ConfigError(Where(str(file)), f"there is nothing to be found under {', '.join(missing)}", fix)
    return [known[ident] for ident in ids]


async def _facts(memory: Namespace) -> tuple[Fact, ...]:
    return await memory.facts()


def _with(deployment: Deployment, namespace: str, work: Callable[[Namespace], Awaitable[T]]) -> T:
    """Do something with a namespace and close it again."""
    from homunculus.container import BACKENDS, memory_folders

    names = namespaces(deployment)
    if namespace not in names:
        close = get_close_matches(namespace, names, 1)
        hint = f'did you mean "{close[0]}"?' if close else f"there are {', '.join(names) or 'none'}"
        raise ConfigError(Where(str(deployment.file)), f'no agent has the memory namespace "{namespace}"', hint)

    async def run() -> T:
        folder, archives = memory_folders(deployment, namespace)
        memory = BACKENDS[deployment.memory.backend].build(folder, archives, deployment.memory)
        try:
            return await work(memory)
        finally:
            await memory.aclose()

    return asyncio.run(run())


def _show_facts(facts: Sequence[Fact], as_json: bool) -> None:
    if as_json:
        output.show_json([shown(fact) for fact in facts])
    else:
        output.show_table("", ("id", "time", "text", "source"), [_row(fact) for fact in facts])


def _row(fact: Fact) -> tuple[str, str, str, str]:
    return fact.id, stamp(fact.time) if fact.time else "", fact.text, fact.source


def _count(number: int) -> str:
    return f"{number:,}"
