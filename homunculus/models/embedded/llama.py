"""The embedded model as agents see it: waits until it is ready, cuts prompts to its context, streams, can be cancelled.

Owns no thread and no weights: those are the engine's. While weights download or load, `complete` waits (up to
LONGEST_WAIT), so the first message a person types is answered, and events tell how far it is. `timeout_seconds` is the
longest silence of a running inference; time in the queue and time spent preparing do not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import ModelServices
from homunculus.model import ChatMessage, Completion, ModelProgress, ModelSpec, Prompt
from homunculus.models.embedded import weights
from homunculus.models.embedded.engine import ANSWER, CONTEXT, WARM, Engine, FindWeights, Outcome, Phase, Report, Shelf
from homunculus.models.embedded.fit import fitted

LONGEST_WAIT = 600.0  # seconds for weights to arrive, or for the queue to come to us
LINES = 2  # times the packaged model is asked for a whole line
LEAST_WORDS = 3
MOST_CUTS = 4  # times a prompt is cut again when the model counts more tokens than we did
FETCH = "homunculus fetch-model"

_shelf = Shelf()  # the one thing that outlives a model: engines of this process, by their weights


class EmbeddedModel:
    """One entry of `models` on an engine that it may share."""

    def __init__(self, spec: ModelSpec, services: ModelServices, shelf: Shelf | None = None) -> None:
        self.spec = spec
        self._emit, self._cache = services.emit, services.cache
        self._shelf = _shelf if shelf is None else shelf
        self._key = (spec.weights, services.cache)
        self._engine = self._shelf.take(self._key, lambda: Engine(_find_weights(spec, services.cache)))
        self._closed = False

    def __repr__(self) -> str:
        return f"<embedded {self.spec.id}: {'ready' if self._engine.is_ready else 'not loaded yet'}>"

    @property
    def engine(self) -> Engine:
        """Return the engine underneath; its own HTTP server is an OpenAI-compatible endpoint."""
        return self._engine

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        """Answer when ready and when its turn comes. Raise NotReady (busy, silent), Refused (no weights, no library).

        The packaged model says one line: after a line break one this small loses the thread, and speaks for others. A line
        of a word or two is asked for again, and in the end as many lines as it likes.
        """
        await self._ready()
        limit = CONTEXT - min(self.spec.max_tokens, CONTEXT // 4)
        stops = [prompt.stop] if self.spec.weights else [prompt.stop, *[(*prompt.stop, "\n")] * LINES]
        stop = stops.pop()
        for _ in range(MOST_CUTS + LINES):
            outcome = await self._infer({**self._request(prompt, limit), "stop": list(stop)}, on_text)
            if outcome.overflow:
                limit = limit * CONTEXT * 9 // (outcome.overflow * 10)
            elif outcome.fault:
                raise Refused(f"the embedded model refused the prompt: {outcome.fault[:200]}")
            elif stops and len(outcome.text.split()) < LEAST_WORDS:
                stop = stops.pop()  # a name, or nothing: it says something else when asked again
            else:
                return Completion(outcome.text, self.spec.id, "embedded", outcome.tokens_in, outcome.tokens_out)
        raise Refused("the prompt does not fit the embedded model's context; lower token_budget")

    def count_tokens(self, text: str) -> int | None:
        """Count with the model's own tokenizer; None before it is loaded, or when it does not say."""
        return self._engine.count_tokens(text)

    async def warm(self, prompt: Prompt) -> None:
        """Run the prompt's stable beginning through once, giving way to answers; tell how it went by events."""
        try:
            await self._ready()
            self._tell("warming")
            await self._warm_prefix(prompt)
            self._tell("ready")
        except (NotReady, Refused) as error:
            self._tell("failed", detail=error.reason)

    async def aclose(self) -> None:
        """Give the engine back; the last one to do so ends it. Safe twice."""
        if self._closed:
            return
        self._closed = True
        thread = self._shelf.give_back(self._key)
        if thread is not None:
            await asyncio.to_thread(thread.join)

    async def _warm_prefix(self, prompt: Prompt) -> None:
        stable = Prompt(prompt.messages[: prompt.stable] or prompt.messages[:1], stable=prompt.stable)
        request = {**self._request(stable, CONTEXT // 2), "max_tokens": 1}
        while stable.messages and (await self._infer(request, None, WARM)).gave_way:
            pass  # an answer came first; what was computed is kept, so this ends

    async def _ready(self) -> None:
        """Wait until the model is loaded. Raise Refused with a command to copy, NotReady after LONGEST_WAIT."""
        if self._closed:
            raise Refused("this model was closed")
        if self._engine.is_ready:
            return
        again = not self.spec.weights and weights.is_cached(self._cache)
        future = self._engine.prepare(self._reporter(), again=again)
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError as error:
            raise NotReady("the embedded model's weights are still on their way", after=30.0) from error
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise NotReady("the embedded model was closed") from None

    def _reporter(self) -> Report:
        """Return what the engine's thread may call: events are emitted on this loop, while it runs."""
        loop = asyncio.get_running_loop()

        def report(phase: Phase, done: int, total: int, detail: str) -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody listens any more
                loop.call_soon_threadsafe(self._tell, phase, done, total, detail)

        return report

    def _tell(self, phase: Any, done: int = 0, total: int = 0, detail: str = "") -> None:
        self._emit(ModelProgress(self.spec.id, phase, done, total, detail))

    def _request(self, prompt: Prompt, limit: int) -> dict[str, Any]:
        messages = fitted(prompt.messages, prompt.stable, max(1, limit))
        return {
            "messages": [_written(message) for message in messages],
            "max_tokens": min(self.spec.max_tokens, CONTEXT // 2),
            "temperature": self.spec.temperature,
            "repeat_penalty": 1.1,  # a model this small repeats itself without
            "stop": list(prompt.stop),
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": True,
            "return_progress": True,  # lets a call be cancelled while its prompt is still being read
        }

    async def _infer(
        self, request: dict[str, Any], on_text: Callable[[str], None] | None, priority: int = ANSWER
    ) -> Outcome:
        """Queue one inference and wait for it; whoever stops waiting stops it."""
        loop = asyncio.get_running_loop()
        hearing = _Hearing(self.spec.timeout_seconds, on_text)

        def on_piece(text: str) -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody listens any more
                loop.call_soon_threadsafe(hearing.hear, text)

        job = self._engine.submit(request, on_piece, priority)
        try:
            async with asyncio.timeout(LONGEST_WAIT) as hearing.clock:
                outcome: Outcome = await asyncio.wrap_future(job.future)
                return outcome
        except TimeoutError as error:
            raise NotReady(f"the embedded model was {hearing.state}") from error
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise NotReady("the embedded model was closed") from None
        finally:
            hearing.clock = None
            job.cancel()


class _Hearing:
    """What arrives from the engine's thread, on the loop: text goes on, and each sign of life moves the deadline."""

    def __init__(self, silence: float, on_text: Callable[[str], None] | None) -> None:
        self._silence, self._on_text = silence, on_text
        self.clock: asyncio.Timeout | None = None
        self.state = f"busy for {LONGEST_WAIT:g} s"

    def hear(self, text: str) -> None:
        if self.clock is None:  # nobody waits any more
            return
        self.state = f"silent for {self._silence:g} s"
        if not self.clock.expired():
            self.clock.reschedule(asyncio.get_running_loop().time() + self._silence)
        if text and self._on_text is not None:
            self._on_text(text)


def _find_weights(spec: ModelSpec, cache: Path) -> FindWeights:
    if spec.weights:
        return lambda progress, stop: _own_weights(Path(spec.weights), spec)
    return lambda progress, stop: weights.fetch(cache, progress, stop, command=FETCH)


def _own_weights(path: Path, spec: ModelSpec) -> Path:
    if not path.is_file():
        raise Refused(f"{spec.path or f'models.{spec.id}'}.weights: there is no file {path}")
    return path


def _written(message: ChatMessage) -> dict[str, str]:
    text = message.content.encode("utf-8", "replace").decode()  # half a surrogate pair is no text to the library
    return {"role": message.role, "content": text}


def _is_cancelled() -> bool:
    """Tell a cancellation of this task from that of the future it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
