"""`npc …`: how the NPC of this conversation stands, why it was silent, and what the game master may do about it."""

from __future__ import annotations

from typing import Final, cast

from homunculus.commands.arguments import Choice, Misuse, Rest
from homunculus.commands.registry import Arguments, Command
from homunculus.interfaces import Desk, Mode, Order, Standing
from homunculus.model import Agent, Trace

_LINES = 10  # errors or changes of one reload that are shown
_MODES: Final = {
    "mention": "it answers when mentioned or called by name",
    "always": "it answers everything",
    "observe": "it listens and stays silent",
}
_FILE = "default"  # let the file decide


def _npc(order: Order) -> Agent:
    if order.agent is None:
        raise Misuse("No NPC answers here.")
    return order.agent


async def status(order: Order, _: Arguments, desk: Desk) -> str:
    """Say who answers here and how."""
    agent, standing = _npc(order), desk.standing(order)
    return "\n".join(
        (
            f"{agent.character.name} ({agent.id}), model {agent.spec.model}, rules {agent.spec.ruleset}",
            _manner(standing),
            f"{standing.adapter} is ready, generation {standing.generation}, {_equal(standing)}",
            *standing.hindrances,
        )
    )


def _manner(standing: Standing) -> str:
    if standing.paused:
        return "Paused here; !npc resume ends that"
    by = ", by a command: !npc mode default lets the file decide" if standing.overridden else ""
    return f"Mode {standing.mode}: {_MODES[standing.mode]}{by}"


def _equal(standing: Standing) -> str:
    return "running = file" if standing.running_equals_file else "running != file: the last save has errors"


async def why(order: Order, _: Arguments, desk: Desk) -> str:
    """Say which rule took the message before, and why it was answered or not."""
    trace = desk.last(order)
    if trace is None:
        return "Nothing was said here since the program started, or it was too long ago."
    return "\n".join(_story(trace))


def _story(trace: Trace) -> list[str]:
    said = [f"{trace.rule or 'no rule'} → {trace.agent_id or 'nobody'}: {trace.outcome}"]
    if trace.reason:
        said.append(trace.reason)
    said += [f"{span.stage}: {span.detail}" for span in trace.spans if span.detail and span.detail != trace.reason]
    said += [f"{attempt.model}: {attempt.reason}" for attempt in trace.attempts]
    return said


async def reload(_: Order, __: Arguments, desk: Desk) -> str:
    """Look at the file now."""
    equal, lines = await desk.reload()
    head = "The file is live." if equal else "The file was refused; what ran goes on."
    more = [f"… and {len(lines) - _LINES} more"] if len(lines) > _LINES else []
    return "\n".join((head, *lines[:_LINES], *more))


async def swap(order: Order, arguments: Arguments, desk: Desk) -> str:
    """Put another character in the NPC's place."""
    agent = _npc(order)
    done = await desk.swap(order, arguments["character"])
    return (
        f"{done.after} speaks now wherever {done.before} did ({agent.id}), and remembers nothing yet.\n"
        f"What {done.before} remembered is kept as {done.archive}; homunculus memory restore brings it back."
    )


async def mode(order: Order, arguments: Arguments, desk: Desk) -> str:
    """Override when the NPC answers here."""
    agent, wanted = _npc(order), arguments["mode"]
    await desk.set_mode(order, None if wanted == _FILE else cast("Mode", wanted))
    return f"{agent.character.name}: {_manner(desk.standing(order))}"


async def pause(order: Order, _: Arguments, desk: Desk) -> str:
    """Silence the NPC here."""
    agent = _npc(order)
    await desk.set_paused(order, paused=True)
    return f"{agent.character.name} is silent here until !npc resume."


async def resume(order: Order, _: Arguments, desk: Desk) -> str:
    """Let the NPC speak again."""
    agent = _npc(order)
    await desk.set_paused(order, paused=False)
    return f"{agent.character.name}: {_manner(desk.standing(order))}"


async def speak(order: Order, arguments: Arguments, desk: Desk) -> str:
    """Say something as the NPC."""
    agent = _npc(order)
    await desk.speak(order, arguments["text"])
    return f"Said as {agent.character.name}."


COMMANDS = (
    Command(("npc", "status"), "who answers here, and how", status),
    Command(("npc", "why"), "why the last message, or the one you reply to, was answered or not", why),
    Command(("npc", "reload"), "look at the deployment file now", reload, control=True),
    Command(
        ("npc", "mode"),
        "when the NPC answers here; default lets the file decide",
        mode,
        (Choice("mode", "when it answers", (*_MODES, _FILE)),),
        control=True,
    ),
    Command(
        ("npc", "swap"),
        "put another character in the NPC's place: a new name in the file, a blank memory",
        swap,
        (Rest("character", "the character's name in the characters folder"),),
        control=True,
    ),
    Command(("npc", "pause"), "silence the NPC here", pause, control=True),
    Command(("npc", "resume"), "let the NPC speak here again", resume, control=True),
    Command(("npc", "as"), "say something as the NPC", speak, (Rest("text", "what it says"),), control=True),
)
