"""What Discord completes while a person types a `/`: our commands in its shape, written only when they changed.

Owns the commands that our application has and the reading of one that was given; never answers one.
Source: Discord's "Application Commands".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import regex
from loguru import logger

from homunculus.adapters.discord import faults
from homunculus.adapters.discord.session import Session
from homunculus.errors import NotReady
from homunculus.model import CommandSpec, ParameterSpec

MOST_OPTIONS = 25  # of a command, of a subcommand, and values to choose from
LONGEST_NAME, LONGEST_TEXT = 32, 100
_SUBCOMMAND, _STRING = 1, 3
_CONTEXTS = [0, 1]  # in guilds, and in direct messages with the bot
_NO_NAME = regex.compile(r"[^-_'\p{L}\p{N}]+")

Words = tuple[str, ...]
Json = dict[str, Any]


def named(text: str) -> str:
    """Return a word as Discord takes names: lower case, `fact-id` for `fact id`."""
    return _NO_NAME.sub("-", text.lower()).strip("-")[:LONGEST_NAME] or "value"


def application_commands(commands: Iterable[CommandSpec]) -> list[Json]:
    """Word commands for Discord: those that begin with the same word become subcommands of one."""
    groups: dict[str, list[CommandSpec]] = {}
    for command in commands:
        groups.setdefault(named(command.words[0]), []).append(command)
    return [_command(name, group) for name, group in groups.items()]


def _command(name: str, group: Sequence[CommandSpec]) -> Json:
    inner = [command for command in group if len(command.words) > 1]
    if not inner:
        options = _parameters(group[0].parameters)
        return {
            "name": name,
            "type": 1,
            "description": _text(group[0].about),
            "contexts": _CONTEXTS,
            "options": options,
        }
    subcommands = [
        {
            "type": _SUBCOMMAND,
            "name": _inner_name(command.words),
            "description": _text(command.about),
            "options": _parameters(command.parameters),
        }
        for command in inner[:MOST_OPTIONS]
    ]
    # Required, though Discord shows it nowhere beside those of the subcommands.
    about = _text(", ".join(str(one["name"]) for one in subcommands))
    return {"name": name, "type": 1, "description": about, "contexts": _CONTEXTS, "options": subcommands}


def _inner_name(words: Words) -> str:
    return named("-".join(words[1:]))


def _parameters(parameters: Iterable[ParameterSpec]) -> list[Json]:
    # Discord wants those that must be given first; a person's line has them in their own order again.
    ordered = sorted(parameters, key=lambda one: not one.required)[:MOST_OPTIONS]
    return [_parameter(one) for one in ordered]


def _parameter(one: ParameterSpec) -> Json:
    body: Json = {"type": _STRING, "name": named(one.name), "description": _text(one.about), "required": one.required}
    if 0 < len(one.choices) <= MOST_OPTIONS and all(len(choice) <= LONGEST_TEXT for choice in one.choices):
        body["choices"] = [{"name": choice, "value": choice} for choice in one.choices]
    return body


def _text(about: str) -> str:
    line = " ".join(about.split()) or "…"
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"


def same(one: Iterable[Json], other: Iterable[Json]) -> bool:
    """Tell whether two lists of commands are the same to people, whatever Discord added to one of them."""
    return sorted(map(_essence, one), key=repr) == sorted(map(_essence, other), key=repr)


def _essence(command: Json) -> tuple[Any, ...]:
    return (
        command["name"],
        command.get("type") or 1,
        command.get("description"),
        tuple(sorted(command.get("contexts") or _CONTEXTS)),
        tuple(map(_option_essence, command.get("options") or ())),
    )


def _option_essence(option: Json) -> tuple[Any, ...]:
    return (
        option["type"],
        option["name"],
        option.get("description"),
        bool(option.get("required")),
        tuple((choice["name"], choice["value"]) for choice in option.get("choices") or ()),
        tuple(map(_option_essence, option.get("options") or ())),
    )


class Catalogue:
    """Keep what one session offers, and read what is given of it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # All the mutable state that outlives a command:
        self._specs: dict[Words, CommandSpec] = {}
        self._known: list[Json] | None = None  # what the application has, once we asked
        self._writing = asyncio.Lock()

    async def offer(self, commands: tuple[CommandSpec, ...]) -> None:
        """Make exactly these the application's commands; raise NotReady, Refused or Uncertain where that fails.

        What is given meanwhile is read by the new ones already, so a failure here keeps nobody from typing them.
        """
        self._specs = {_key(command.words): command for command in _offered(commands)}
        wanted = application_commands(self._specs.values())
        async with self._writing:
            try:
                await self._write(wanted)
            except Exception as error:
                raise faults.of_request(error, "the commands") from error

    async def _write(self, wanted: list[Json]) -> None:
        application, http = self._session.application_id, self._session.http
        if application is None:
            raise NotReady("Discord has not told us which application we are")
        if self._known is None:
            self._known = [dict(command) for command in await http.get_global_commands(application)]
        if same(self._known, wanted):
            return
        # Whatever becomes of it: to write all of it once more does no harm.
        self._known = [dict(command) for command in await http.bulk_upsert_global_commands(application, wanted)]
        logger.bind(commands=len(wanted)).info("Discord completes new commands from now on")

    def read(self, data: Mapping[str, Any]) -> tuple[str, bool]:
        """Return the line of a command that was given, and whether its answer is for one person alone.

        One that is not in the catalogue, or not yet, is private: what it says may be meant so.
        """
        words, values = _given(data)
        spec = self._specs.get(words)
        if spec is None:
            return " ".join((*words, *values.values())), True
        ordered = [values[name] for name in map(named, (one.name for one in spec.parameters)) if name in values]
        return " ".join((*spec.words, *ordered)), spec.private


def _key(words: Words) -> Words:
    return (named(words[0]), *([_inner_name(words)] if len(words) > 1 else []))


def _offered(commands: tuple[CommandSpec, ...]) -> list[CommandSpec]:
    """Leave out a word by itself that other commands begin with: Discord knows either."""
    begun = {named(command.words[0]) for command in commands if len(command.words) > 1}
    return [command for command in commands if len(command.words) > 1 or named(command.words[0]) not in begun]


def _given(data: Mapping[str, Any]) -> tuple[Words, dict[str, str]]:
    words, options = [str(data["name"])], data.get("options") or []
    while options and "value" not in options[0]:
        words.append(str(options[0]["name"]))
        options = options[0].get("options") or []
    return tuple(words), {str(one["name"]): str(one["value"]).strip() for one in options}
