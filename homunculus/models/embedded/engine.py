"""Runs one loaded model in this process: one thread, one queue, one inference at a time.

Owns xllamacpp and everything that blocks; nothing here is ever called on the event loop except `submit`, `prepare` and
`close`, which return at once: tokens are counted in a thread. Engines are shared: models that stand on the same weights take the same one, so that a
changed temperature loads nothing anew.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from homunculus.errors import HomunculusError, NotReady, Refused

CONTEXT = 3072  # tokens: the default token budget, an answer and room for Chinese
BATCH = 128  # tokens between two looks at whether a call was cancelled; costs no speed up to 512
CACHED_PREFIXES_MIB = 160  # about ten characters' prefixes wait in memory for their next turn
COUNT_SECONDS = 2.0  # the tokenizer answers in a thousandth of that
COUNTS_KEPT = 4096
RETRY_SECONDS = 60.0  # after a failure, before the weights are looked for again
INSTALL = "pip install 'homunculus[embedded]'"

ANSWER, WARM = 1, 2  # priorities: the lower goes first, and warming gives way to an answer

Phase = Literal["fetching", "loading", "ready", "failed"]
Report = Callable[[Phase, int, int, str], None]  # phase, bytes done, bytes in all, detail
FindWeights = Callable[[Callable[[int, int], None], Callable[[], bool]], Path]


@dataclass(slots=True)
class Outcome:
    """What one inference came to. `overflow` is the prompt's true length when it does not fit the context."""

    text: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cached: int = 0
    overflow: int = 0
    gave_way: bool = False
    fault: str = ""


@dataclass(order=True, slots=True)
class Job:
    """One entry of the queue; `cancel` may come from any thread and at any time."""

    priority: int
    ordinal: int
    work: Callable[[Job], Any] = field(compare=False)
    future: Future[Any] = field(default_factory=Future, compare=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, compare=False)

    def cancel(self) -> None:
        self._cancelled.set()
        self.future.cancel()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()


class Engine:
    """One model: fetched and loaded once, then asked one prompt at a time."""

    def __init__(self, find_weights: FindWeights) -> None:
        self._find_weights = find_weights
        self._jobs: queue.PriorityQueue[Job] = queue.PriorityQueue()
        self._ordinals = count()
        self._lock = threading.Lock()
        # All the mutable state, under the lock: the thread, what it prepares, what failed, who waits, what runs.
        self._thread: threading.Thread | None = None
        self._preparing: Future[None] | None = None
        self._failed: Future[None] | None = None
        self._tried_at = 0.0
        self._urgent = 0
        self._running: Job | None = None
        self._closing = threading.Event()
        self._server: Any = None  # touched by the thread alone
        self.key = secrets.token_urlsafe(24)
        self._counts: dict[str, int] = {}  # tokens of texts: a history comes again with every turn

    @property
    def address(self) -> str:
        """Return where the loaded model's own HTTP server listens (loopback, only with `key`); "" before it is loaded."""
        server = self._server
        return "" if server is None else str(server.listening_address)

    @property
    def is_ready(self) -> bool:
        return self._server is not None

    def prepare(self, report: Report, *, again: bool = False) -> Future[None]:
        """Return the future of being loaded, starting it when needed. It holds Refused when that is impossible.

        A failure is kept for RETRY_SECONDS, then tried again in the background; `again` tries at once.
        """
        with self._lock:
            latest = self._preparing
            if latest is None:
                return self._start_preparing(report)
            if not latest.done():
                return self._failed or latest
            if latest.cancelled() or latest.exception() is None:
                return latest
            self._failed = None if again else latest
            if again or time.monotonic() - self._tried_at > RETRY_SECONDS:
                self._start_preparing(report)
            return self._failed or self._preparing or latest

    def submit(self, request: dict[str, Any], on_piece: Callable[[str], None], priority: int = ANSWER) -> Job:
        """Queue one chat completion; the job's future gets an Outcome. `on_piece` is called in the engine's thread,
        with "" for progress that is no text."""
        with self._lock:
            return self._put(priority, lambda job: self._infer(job, request, on_piece))

    def count_tokens(self, text: str) -> int | None:
        """Count the tokens of a text beside what runs; None before the model is loaded, or when it does not say."""
        if (known := self._counts.get(text)) is not None or not (address := self.address):
            return known
        server = urlsplit(address)
        connection = http.client.HTTPConnection(server.hostname or "", server.port, timeout=COUNT_SECONDS)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/tokenize", json.dumps({"content": text}), headers)
            count = len(json.loads(connection.getresponse().read())["tokens"])
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        if len(self._counts) >= COUNTS_KEPT:
            self._counts.clear()
        self._counts[text] = count
        return count

    def close(self) -> threading.Thread | None:
        """Stop what runs, refuse what waits; return the thread that will end, if there is one."""
        with self._lock:
            if self._thread is not None:
                self._put(-1, lambda job: None)  # wakes the thread
            self._closing.set()
            if self._running is not None:
                self._running.cancel()
            return self._thread

    def _start_preparing(self, report: Report) -> Future[None]:
        self._tried_at = time.monotonic()
        self._preparing = self._put(0, lambda job: self._prepare(report)).future
        return self._preparing

    def _put(self, priority: int, work: Callable[[Job], Any]) -> Job:
        job = Job(priority, next(self._ordinals), work)
        if self._closing.is_set():
            job.cancel()
            return job
        self._urgent += priority == ANSWER
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="embedded-model", daemon=True)
            self._thread.start()
        return job

    # --- everything below runs in the engine's own thread ---

    def _work(self) -> None:
        while not self._closing.is_set():
            self._run(self._jobs.get())
        self._server = None  # frees the model's memory here, not on the loop
        with self._lock, suppress(queue.Empty):
            while True:
                self._jobs.get_nowait().cancel()

    def _run(self, job: Job) -> None:
        with self._lock:
            self._urgent -= job.priority == ANSWER
            self._running = job
        if job.future.set_running_or_notify_cancel():
            try:
                job.future.set_result(job.work(job))
            except HomunculusError as error:
                job.future.set_exception(error)
            except Exception as error:  # noqa: BLE001 - whoever waits may only get what the errors tree allows
                job.future.set_exception(NotReady(f"{type(error).__name__} in the embedded model"))
        with self._lock:
            self._running = None

    def _prepare(self, report: Report) -> None:
        """Fetch and load, telling each phase: who tries again in the background waits for no future."""
        try:
            self._server = self._load(report)
        except (NotReady, Refused) as error:
            report("failed", 0, 0, error.reason)
            raise
        report("ready", 0, 0, "")

    def _load(self, report: Report) -> Any:
        library = _library()
        path = self._find_weights(lambda done, total: report("fetching", done, total, ""), self._closing.is_set)
        report("loading", 0, 0, "")
        try:
            return library.Server(_parameters(library, path, self.key))
        except RuntimeError as error:
            raise Refused(f"{path}: this is no model that can be loaded; check weights") from error

    def _infer(self, job: Job, request: dict[str, Any], on_piece: Callable[[str], None]) -> Outcome:
        if self._server is None:
            raise NotReady("the embedded model is not loaded")
        outcome, parts = Outcome(), []

        def hear(chunk: str) -> bool:
            """Take one event; True stops the inference."""
            text = _take(json.loads(chunk), outcome)
            if text:
                parts.append(text)
            on_piece(text)
            outcome.gave_way = job.priority == WARM and self._urgent > 0
            return job.cancelled or outcome.gave_way

        self._server.handle_chat_completions(json.dumps(request), _guarded(hear, outcome))
        outcome.text = "".join(parts)
        return outcome


def _guarded(hear: Callable[[str], bool], outcome: Outcome) -> Callable[[str], bool]:
    """Return `hear` so that a surprise stops the inference and is told: the library would drop it silently."""

    def guarded(chunk: str) -> bool:
        try:
            return hear(chunk)
        except Exception as error:  # noqa: BLE001 - nothing may pass through foreign code
            outcome.fault = f"{type(error).__name__} while reading the model's answer"
            return True

    return guarded


def _take(event: dict[str, Any], outcome: Outcome) -> str:
    """Read one event of the answer into the outcome; return its text."""
    if error := event.get("error"):
        outcome.overflow = int(error.get("n_prompt_tokens", 0))
        outcome.fault = str(error.get("message", "the model refused the prompt"))
        return ""
    if usage := event.get("usage"):
        outcome.tokens_in, outcome.tokens_out = usage["prompt_tokens"], usage["completion_tokens"]
        outcome.cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    choices = event.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


def _library() -> Any:
    # Idle OpenMP threads would otherwise spin on a core each between two tokens.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    try:
        import xllamacpp
    except ImportError as error:
        raise Refused(f"the embedded model needs a package that is not installed; run: {INSTALL}") from error
    return xllamacpp


def _parameters(library: Any, path: Path, key: str) -> Any:
    threads = max(1, _cores() - 1)
    parameters = library.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = 1
    parameters.n_batch = parameters.n_ubatch = BATCH
    parameters.n_gpu_layers = 0
    parameters.fit_params = False  # measures a GPU's memory; here it only doubles the time to load
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.cpuparams.poll = parameters.cpuparams_batch.poll = 0
    parameters.cache_ram_mib = CACHED_PREFIXES_MIB
    parameters.warmup = False
    parameters.verbosity = -1
    # The library always opens an HTTP server on loopback: only for who knows the key, and it shows nobody's prompts.
    parameters.api_keys = [key]
    parameters.model_alias = {"embedded"}
    parameters.endpoint_slots = parameters.ui = False
    parameters.cors_origins = ""
    parameters.n_threads_http = 2
    return parameters


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Shelf:
    """Share engines by key with counts: built by the first that takes one, closed when the last gives it back."""

    def __init__(self) -> None:
        self._taken: dict[object, tuple[Engine, int]] = {}

    def take(self, key: object, build: Callable[[], Engine]) -> Engine:
        engine, users = self._taken.get(key) or (build(), 0)
        self._taken[key] = (engine, users + 1)
        return engine

    def give_back(self, key: object) -> threading.Thread | None:
        """Return the thread that ends with the last user, if it does."""
        engine, users = self._taken.pop(key)
        if users > 1:
            self._taken[key] = (engine, users - 1)
            return None
        return engine.close()
