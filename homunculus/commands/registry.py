"""Which commands there are: finds the one a line means, reads its arguments, asks for authority, runs it, explains it.

Owns the sign, the help and the did-you-mean; never what a command does.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from homunculus.commands.arguments import Misuse, Parameter, Rest, quoted, read, suggestion
from homunculus.interfaces import Desk, Order, Response
from homunculus.model import CommandSpec, Message, ParameterSpec

# A phone with a Chinese keyboard types the wide forms.
_TYPED = re.compile(r"\s*[!/！／](?P<line>(?P<first>\w+)(?:\s.*)?)\Z", re.DOTALL)
SIGN: Final = "!"  # what help shows: it works on every platform

Arguments = Mapping[str, str]
Run = Callable[[Order, Arguments, Desk], Awaitable[str | Response]]  # a text alone is as private as its command


@dataclass(frozen=True, slots=True)
class Command:
    """One command. A `control` command needs authority, and is answered in private where the platform can do that."""

    words: tuple[str, ...]
    about: str
    run: Run
    parameters: tuple[Parameter, ...] = ()
    control: bool = False

    @property
    def name(self) -> str:
        """Return its words as they are typed."""
        return " ".join(self.words)

    @property
    def usage(self) -> str:
        """Show how it is typed, and what it does: `!npc mode <mode> — when the NPC answers here`; what may be left out in `[]`."""
        line = " ".join((f"{SIGN}{self.name}", *(_shown(parameter.spec) for parameter in self.parameters)))
        return f"{line} — {self.about}"

    @property
    def spec(self) -> CommandSpec:
        """Describe it to a platform that completes commands."""
        return CommandSpec(self.words, self.about, tuple(p.spec for p in self.parameters), private=self.control)


class Registry:
    """Find and run commands, `help` among them. Built once; holds no state of a conversation."""

    def __init__(self, commands: Iterable[Command]) -> None:
        about = Rest("command", "which command", required=False)
        every = (*commands, Command(("help",), "what you can type here", self._help, (about,)))
        self._commands = {command.words: command for command in every}
        self._firsts = frozenset(words[0] for words in self._commands)

    @property
    def specs(self) -> tuple[CommandSpec, ...]:
        """Describe every command."""
        return tuple(command.spec for command in self._commands.values())

    def line(self, message: Message) -> str | None:
        """Return the command line of a message: given natively, or typed with a sign and a word we know.

        Whatever begins otherwise is talk, also `!look at that`; so is what another program says.
        """
        if message.author.bot:
            return None
        typed = _TYPED.match(f"{SIGN}{message.command}" if message.command else message.text)
        return typed["line"].strip() if typed and typed["first"].casefold() in self._firsts else None

    async def run(self, order: Order, desk: Desk) -> Response:
        """Do what a line says."""
        try:
            command, rest = self._found(order.line)
        except Misuse as fault:
            return Response(str(fault), private=True)
        if command.control and not order.authority:
            return Response(unauthorized(command.name, order), private=True)
        try:
            arguments = read(command.parameters, rest)
        except Misuse as fault:
            return Response(f"{fault}\n{command.usage}", private=True)
        try:
            said = await command.run(order, arguments, desk)
        except Misuse as fault:  # of a line that is right, in a place where it means nothing
            return Response(str(fault), private=True)
        return said if isinstance(said, Response) else Response(said, private=command.control)

    def _found(self, line: str) -> tuple[Command, str]:
        """Return the command of a line and what follows it; the first of two words alone asks for help about it."""
        for count in (2, 1):
            words, rest = _taken(line, count)
            if words in self._commands:
                return self._commands[words], rest
        (first,), rest = _taken(line, 1)
        if not rest:
            return self._commands["help",], first
        seconds = [words[1] for words in self._commands if words[0] == first]
        word = rest.split()[0]
        raise Misuse(f"{SIGN}{first} knows no {quoted(word)}; {suggestion(word.casefold(), seconds)}")

    async def _help(self, order: Order, arguments: Arguments, _: Desk) -> str:
        wanted = arguments["command"].casefold().lstrip("!/！／")
        found = [c for c in self._commands.values() if f"{c.name} ".startswith(f"{wanted} " if wanted else "")]
        if not found:
            return (
                f"There is no command {quoted(wanted)}; {suggestion(wanted, [c.name for c in self._commands.values()])}"
            )
        # What one may not do would only be noise, unless it was asked about.
        mine = [command for command in found if order.authority or not command.control]
        return "\n".join(command.usage for command in mine) or unauthorized(found[0].name, order)


def _shown(parameter: ParameterSpec) -> str:
    return f"<{parameter.name}>" if parameter.required else f"[{parameter.name}]"


def _taken(line: str, count: int) -> tuple[tuple[str, ...], str]:
    """Take words off the front of a line; what follows keeps its line breaks."""
    parts = line.split(maxsplit=count)
    return tuple(word.casefold() for word in parts[:count]), parts[count] if len(parts) > count else ""


def unauthorized(name: str, order: Order) -> str:
    """Say what somebody lacks who may not give a command, and how they come by it."""
    return (
        f"{SIGN}{name} is for those whom `authority` names here. Your id is {order.message.author.id}: "
        "whoever keeps the deployment file can add it."
    )
