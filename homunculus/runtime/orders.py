"""A command from its recognition to its response: beside the conversations, never in their queue.

Owns who may give it, where the response goes and who gets to see it; never what a command does. What a command says is the
bot's own word, no character's: it enters no history. What is secret is whispered or left unsaid, and never posted.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from loguru import logger

from homunculus.errors import HomunculusError, NotReady, Refused, Uncertain
from homunculus.interfaces import ChatCommands, Clock, Desk, Emit, Order, Response
from homunculus.model import Agent, Message, Reply, Span, Trace, TurnEnded
from homunculus.pipelines.split import split
from homunculus.runtime.generation import Generation
from homunculus.runtime.routes import Route
from homunculus.runtime.runner import Runner
from homunculus.runtime.sending import Sending, Way
from homunculus.runtime.store import UNHEARD

SPEAKER = "Homunculus"  # where a platform does not show the account itself
STAGE = "command"  # its span: the trace of a command is none of the conversation
LOST = "the program ended before this command was carried out; type it again"


class Orders:
    """Recognise commands, carry them out, respond."""

    def __init__(self, commands: ChatCommands, desk: Desk, sending: Sending, emit: Emit, clock: Clock) -> None:
        self._commands, self._desk, self._sending, self._emit, self._clock = commands, desk, sending, emit, clock

    def line(self, message: Message, route: Route) -> str | None:
        """Return the command line of a message in a place that a rule is meant for; None is talk, or nobody's business."""
        meant = route.agent_id is not None or route.binding is not None
        return self._commands.line(message) if meant else None

    async def run(
        self, runner: Runner, message: Message, line: str, route: Route, generation: Generation, *spans: Span
    ) -> None:
        """Do what a line says and tell its author; whatever fails is told them too."""
        started = self._clock()
        agent = _agent(route, generation)
        order = Order(line, message, agent, authority=generation.routes.may_command(message))
        response = await self._response(order)
        ident = blake2b(f"{message.address.conversation}\0{message.id}".encode(), digest_size=12).hexdigest()
        await self._respond(runner, message, response, ident)
        span = Span(STAGE, started, self._clock(), line.partition("\n")[0])
        address = message.address
        trace = Trace(
            ident, (message.id,), address.label, agent.id if agent else None, route.rule, "answered", "a command",
            spans=(*spans, span),
        )  # fmt: skip
        self._emit(TurnEnded(address, trace))

    async def _response(self, order: Order) -> Response:
        try:
            return await self._commands.run(order, self._desk)
        except (NotReady, Refused, Uncertain) as error:
            return Response(f"That was not possible: {error.reason}", private=True)
        except Exception as error:  # noqa: BLE001 - whoever typed it must learn that it failed
            logger.bind(place=order.message.address.label).opt(exception=error).error("A command failed unexpectedly")
            return Response("That failed unexpectedly; the log says more.", private=True)

    async def _respond(self, runner: Runner, message: Message, response: Response, ident: str) -> None:
        if message.address.direct and response.secret:
            response = replace(response, text=response.secret, secret="")  # nobody else is there
        try:
            if not await self._confided(runner, message, response.secret):
                await self._said(runner, message, response, ident)
        except HomunculusError as error:
            logger.bind(adapter=runner.key, place=message.address.label, reason=str(error)).warning(
                "The response to a command did not arrive"
            )

    async def _confided(self, runner: Runner, message: Message, secret: str) -> bool:
        """Whisper what nobody else may see; False where that cannot be, and nothing of it was said then.

        What has begun as a whisper ends as one: where the platform will not go on, the rest is left unsaid.
        """
        parts = split(secret, runner.limit)
        for ordinal, part in enumerate(parts):
            if await runner.whisper(message, part):
                continue
            if ordinal:
                log = logger.bind(adapter=runner.key, place=message.address.label, parts=len(parts), shown=ordinal)
                log.warning(
                    "The rest of a private answer is left unsaid: it cannot be shown to its author alone any more"
                )
            return ordinal > 0
        return bool(parts)

    async def _said(self, runner: Runner, message: Message, response: Response, ident: str) -> None:
        parts = split(response.text, runner.limit)
        if response.private:
            while parts and await runner.whisper(message, parts[0]):
                parts = parts[1:]
        # A native command is answered by all parts; people see from the first one what was typed.
        replies = tuple(
            Reply(f"{ident}.{ordinal}", UNHEARD, SPEAKER, part, message.id if message.command or not ordinal else None)
            for ordinal, part in enumerate(parts)
        )
        if replies:
            await self._sending.unasked(Way(ident, message.address, runner), UNHEARD, replies)


def _agent(route: Route, generation: Generation) -> Agent | None:
    """Return whom a place belongs to, also where its rule wants a mention that was not given."""
    named = route.agent_id or (route.binding.agent_id if route.binding is not None else "")
    return generation.agents.get(named)
