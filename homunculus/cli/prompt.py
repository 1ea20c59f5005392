"""`homunculus prompt`: exactly what a model would get for a first message in a new conversation, and what each part costs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from homunculus.characters.lorebook import select
from homunculus.characters.macros import expand
from homunculus.cli import output
from homunculus.cli.inspect import load
from homunculus.container import BACKENDS, memory_folders
from homunculus.errors import ConfigError, HomunculusError, Where
from homunculus.model import Address, Agent, Author, Deployment, Fact, Message
from homunculus.pipelines.prompt import BuildPrompt, Layout
from homunculus.runtime.generation import resolved

SAID = "Hello."
_WHO = Author("traveller", "Traveller")


def prompt(file: Path, agent_id: str, text: str, as_json: bool) -> int:
    """Print the messages, then the tokens by part and what did not fit."""
    deployment = load(file).deployment
    layout = asyncio.run(_laid_out(deployment, _agent(deployment, agent_id), text))
    messages = [{"role": message.role, "content": message.content} for message in layout.prompt.messages]
    if as_json:
        output.show_json({"messages": messages, "tokens": dict(layout.tokens), "cut": list(layout.cut)})
        return 0
    for message in messages:
        output.say(f"[{message['role']}]", "bold")
        output.say(f"{message['content']}\n")
    rows = [(name, str(number)) for name, number in layout.tokens]
    output.show_table("", ("part", "tokens, about"), [*rows, ("all", str(sum(number for _, number in layout.tokens)))])
    for words in layout.cut:
        output.note(words)
    return 0


def _agent(deployment: Deployment, agent_id: str) -> Agent:
    spec = next((spec for spec in deployment.agents if spec.id == agent_id), None)
    if spec is None:
        known = ", ".join(spec.id for spec in deployment.agents) or "none"
        raise ConfigError(Where(str(deployment.file)), f'there is no agent "{agent_id}"', f"there are {known}")
    return resolved(deployment, spec)


async def _laid_out(deployment: Deployment, agent: Agent, text: str) -> Layout:
    place = f"@{agent.id}"
    address = Address("local", "local", "local", place, label=f"local:{place}")
    message = Message("1", address, _WHO, text, mentioned=True)
    facts = await _recalled(deployment, agent, text, address)
    return BuildPrompt(expand, select).lay_out(agent, (), (message,), facts)


async def _recalled(deployment: Deployment, agent: Agent, text: str, address: Address) -> tuple[Fact, ...]:
    """Return what would come to mind; a memory that cannot be asked leaves the prompt without, as it does when serving."""
    folder, archives = memory_folders(deployment, agent.spec.namespace)
    memory = BACKENDS[deployment.memory.backend].build(folder, archives, deployment.memory)
    try:
        await memory.settled()
        return await memory.recall(text, address.conversation)
    except HomunculusError as error:
        output.note(f"without memory: {error}")
        return ()
    finally:
        await memory.aclose()
