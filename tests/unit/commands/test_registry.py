"""What people may type, what they read in return, and who may do what: asked of the shipped commands, on a scripted desk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.commands import COMMANDS
from homunculus.errors import NotReady, Refused
from homunculus.interfaces import Mode, Namespace, Order, Response, Standing, Swapped
from homunculus.model import (
    Address,
    Agent,
    AgentSpec,
    Attempt,
    Author,
    Character,
    Message,
    RulesetSpec,
    Span,
    Trace,
)

CONTROL = {
    *("npc reload", "npc mode", "npc pause", "npc resume", "npc as", "npc swap"),
    *("npc remember", "npc forget", "npc restore", "npc pin", "npc unpin", "npc edit"),
    *("session start", "session end"),
}
ANYBODY = {"npc status", "npc why", "npc memory", "npc recap", "whoami", "help"}


@dataclass
class ScriptedDesk:
    """Answers as it was told, and writes down what it was asked to do."""

    mode: Mode = "mention"
    overridden: bool = False
    paused: bool = False
    equal: bool = True
    hindrances: tuple[str, ...] = ()
    trace: Trace | None = None
    found: tuple[bool, tuple[str, ...]] = (True, ())
    full: bool = False
    did: list[tuple[str, object]] = field(default_factory=list)

    def standing(self, order: Order) -> Standing:
        return Standing(self.mode, self.overridden, self.paused, "discord:keeper", self.hindrances, 7, self.equal)

    def last(self, order: Order) -> Trace | None:
        return self.trace

    async def reload(self) -> tuple[bool, tuple[str, ...]]:
        self.did.append(("reload", None))
        return self.found

    async def set_mode(self, order: Order, mode: Mode | None) -> None:
        if self.full:
            raise NotReady("the disk is full")
        self.did.append(("mode", mode))
        self.mode, self.overridden = mode or "mention", mode is not None

    async def set_paused(self, order: Order, *, paused: bool) -> None:
        self.did.append(("paused", paused))
        self.paused = paused

    async def speak(self, order: Order, text: str) -> None:
        self.did.append(("speak", text))

    async def swap(self, order: Order, character: str) -> Swapped:
        self.did.append(("swap", character))
        return Swapped("Kovach", character.title(), "kovach-eod-20261127T190000Z")

    def memory(self, order: Order) -> Namespace:
        raise Refused("nothing is remembered on this desk")

    @asynccontextmanager
    async def tended(self, order: Order) -> AsyncIterator[Namespace]:
        yield self.memory(order)


KOVACH = Agent(AgentSpec("kovach-eod", Character("kovach", "Kovach"), "kovach-eod"), RulesetSpec("coc7e", ""), ())
ADDRESS = Address("discord", "discord:keeper", "900", "41", space="7", label="discord:keeper:7:41")


def said(text: str, *, command: str = "", bot: bool = False) -> Message:
    return Message("1", ADDRESS, Author("42", "Ana", bot=bot), text, command=command)


async def typed(
    text: str, desk: ScriptedDesk | None = None, *, authority: bool = True, agent: Agent | None = KOVACH
) -> Response:
    message = said(text)
    line = COMMANDS.line(message)
    assert line is not None, f"{text!r} is talk"
    return await COMMANDS.run(Order(line, message, agent, authority), desk or ScriptedDesk())


# --- what is a command ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("!npc status", "npc status"),
        ("  !npc   status  ", "npc   status"),
        ("/npc status", "npc status"),
        ("！npc status", "npc status"),
        ("!NPC Status", "NPC Status"),
        ("!npc as Good evening.\nSit down.", "npc as Good evening.\nSit down."),
        ("!help", "help"),
    ],
)
def test_a_sign_and_a_known_word_make_a_command(text: str, line: str) -> None:
    assert COMMANDS.line(said(text)) == line


@pytest.mark.parametrize("text", ["", "!", "npc status", "! npc status", "!look at that", "!!npc", "what !npc status", "!npcs", "老陈"])  # fmt: skip
def test_everything_else_is_talk(text: str) -> None:
    assert COMMANDS.line(said(text)) is None


def test_what_a_platform_brings_as_a_command_needs_no_sign() -> None:
    assert COMMANDS.line(said("/npc mode always", command="npc mode always")) == "npc mode always"
    assert COMMANDS.line(said("/start", command="start")) is None  # a platform's own word, none of ours


def test_another_program_gives_no_orders() -> None:
    assert COMMANDS.line(said("!npc pause", bot=True)) is None


@given(st.text())
def test_any_text_is_read_without_a_fault(text: str) -> None:
    for sign in ("", "!", "!npc ", "!help ", "!npc mode "):
        line = COMMANDS.line(said(sign + text))
        assert line is None or line == (sign + text).strip().lstrip("!/！／").strip()


# --- who may do what ------------------------------------------------------------------------------------------------


def test_the_control_commands_are_those_of_the_contract() -> None:
    assert {" ".join(spec.words) for spec in COMMANDS.specs if spec.private} == CONTROL
    assert {" ".join(spec.words) for spec in COMMANDS.specs if not spec.private} == ANYBODY


@pytest.mark.parametrize("name", sorted(CONTROL))
async def test_without_authority_nothing_is_done_and_the_remedy_is_told(name: str) -> None:
    desk = ScriptedDesk()
    response = await typed(f"!{name} always", desk, authority=False)
    assert desk.did == []
    assert response.private
    assert "authority" in response.text
    assert "42" in response.text


@pytest.mark.parametrize("line", ["npc reload", "npc mode always", "npc pause", "npc resume", "npc as Good evening."])
async def test_with_authority_it_is_done_and_answered_in_private(line: str) -> None:
    desk = ScriptedDesk()
    response = await typed(f"!{line}", desk)
    assert len(desk.did) == 1
    assert response.private
    assert response.text


@pytest.mark.parametrize(
    "line", ["npc status", "npc why", "npc mode always", "npc pause", "npc resume", "npc as Hello."]
)
async def test_where_no_npc_answers_it_says_so(line: str) -> None:
    desk = ScriptedDesk()
    response = await typed(f"!{line}", desk, agent=None)
    assert desk.did == []
    assert response.text in ("No NPC answers here.", "Nothing was said here since the program started, or it was too long ago.")  # fmt: skip


# --- what each does -------------------------------------------------------------------------------------------------


async def test_status_tells_who_answers_how_and_what_hinders() -> None:
    desk = ScriptedDesk(mode="always", overridden=True, equal=False, hindrances=("It cannot read; allow it.",))
    text = (await typed("!npc status", desk)).text
    for told in ("Kovach", "kovach-eod", "Mode always", "!npc mode default", "discord:keeper", "running != file"):
        assert told in text
    assert text.endswith("It cannot read; allow it.")
    assert "Paused" in (await typed("!npc status", ScriptedDesk(paused=True))).text


async def test_why_tells_the_rule_the_outcome_and_the_reasons() -> None:
    spans = (Span("route", 0, 1, "channels[0] matches"), Span("gate", 1, 2, "it was not mentioned"))
    trace = Trace(
        "t", ("9",), ADDRESS.label, "kovach-eod", "channels[0]", "silent", "it was not mentioned",
        spans=spans, attempts=(Attempt("haiku", "no answer within 30 s"),),
    )  # fmt: skip
    assert (await typed("!npc why", ScriptedDesk(trace=trace))).text.splitlines() == [
        "channels[0] → kovach-eod: silent",
        "it was not mentioned",
        "route: channels[0] matches",
        "haiku: no answer within 30 s",
    ]


async def test_reload_tells_what_went_live_or_every_error() -> None:
    assert "~ channel" in (await typed("!npc reload", ScriptedDesk(found=(True, ("~ channel 41",))))).text
    errors = tuple(f"a.yaml:{line}:1: bad" for line in range(30))
    text = (await typed("!npc reload", ScriptedDesk(found=(False, errors)))).text
    assert text.startswith("The file was refused")
    assert text.endswith("… and 20 more")


async def test_a_mode_is_set_and_given_back_to_the_file() -> None:
    desk = ScriptedDesk()
    assert "answers everything" in (await typed("!npc mode ALWAYS", desk)).text
    assert "by a command" not in (await typed("!npc mode default", desk)).text
    assert desk.did == [("mode", "always"), ("mode", None)]


async def test_what_the_npc_is_to_say_keeps_its_lines() -> None:
    desk = ScriptedDesk()
    await typed("!npc as Good evening.\n\nSit  down.", desk)
    assert desk.did == [("speak", "Good evening.\n\nSit  down.")]


async def test_a_swap_says_who_speaks_now_and_where_the_memory_is() -> None:
    desk = ScriptedDesk()
    response = await typed("!npc swap john", desk)
    assert desk.did == [("swap", "john")]
    assert response.text == (
        "John speaks now wherever Kovach did (kovach-eod), and remembers nothing yet.\n"
        "What Kovach remembered is kept as kovach-eod-20261127T190000Z; homunculus memory restore brings it back."
    )


async def test_whoami_tells_the_id_that_the_file_wants() -> None:
    assert "id 42" in (await typed("!whoami", authority=False)).text
    assert "You may run control commands" in (await typed("!whoami", authority=True)).text


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("!npc statsu", "did you mean status?"),
        ("!npc xyzzy", "it is one of"),
        ("!npc mode", "mode is missing"),
        ("!npc mode alway", "did you mean always?"),
        ("!npc mode always now", "“now” is too much"),
        ("!npc as", "text is missing"),
        ("!npc pause please", "“please” is too much"),
        ("!whoami really", "“really” is too much"),
        ("!help mdoe", "There is no command"),
    ],
)
async def test_a_slip_is_answered_with_what_would_be_right(text: str, told: str) -> None:
    desk = ScriptedDesk()
    assert told in (await typed(text, desk)).text
    assert desk.did == []


async def test_the_first_word_alone_explains_its_commands() -> None:
    text = (await typed("!npc")).text
    assert {line.split(" — ")[0] for line in text.splitlines()} == {
        "!npc status", "!npc why", "!npc reload", "!npc mode <mode>", "!npc pause", "!npc resume", "!npc as <text>",
        "!npc memory <query>", "!npc remember <text>", "!npc forget <fact>", "!npc restore <fact>", "!npc pin <fact>",
        "!npc unpin <fact>", "!npc edit <fact> <text>", "!npc swap <character>",
        "!npc recap [version] [number]",
    }  # fmt: skip


async def test_help_shows_what_one_may_do() -> None:
    mine = (await typed("!help", authority=False)).text
    assert "!npc status" in mine
    assert "!npc pause" not in mine
    assert "!npc pause" in (await typed("!help")).text
    assert (await typed("!help npc mode")).text.startswith("!npc mode <mode> — ")
    assert "authority" in (await typed("!help npc pause", authority=False)).text


async def test_a_state_that_cannot_be_written_is_the_callers_to_tell() -> None:
    with pytest.raises(NotReady):
        await typed("!npc mode always", ScriptedDesk(full=True))
