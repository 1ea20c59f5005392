"""However a model fails, a fallback answers, or the failure can be seen: never silence without a trace.

Every provider that asks another machine, over sockets, in a real server: with a fallback the NPC speaks and the trace
says what failed; without one nothing is posted, the trace says `failed` and why, and the log has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from homunculus.testing.model import AnthropicServer, Loopback, ModelServer, OpenClawServer
from tests.e2e.serving import Serving, serving, write

HEAD = """\
version: 1
bot_name: camp
data_home: {home}
server: {{port: 0}}
"""
MODEL = """\
  {id}: {{provider: {provider}, name: x, base_url: "{base_url}", api_key: env:KEY, timeout_seconds: 1.5{more}}}
"""
PROVIDERS: dict[str, type[Loopback]] = {"openai": ModelServer, "openclaw": OpenClawServer, "anthropic": AnthropicServer}

REST = 0.05  # seconds that an endpoint asks for

# What goes wrong, and what the trace then says of it.
FAILURES: dict[str, tuple[Callable[[Loopback], None], str]] = {
    "403": (lambda server: server.refuse(403), "answered 403"),
    "429 with Retry-After": (lambda server: server.fail_next(429, REST), "answered 429"),
    "500": (lambda server: server.refuse(500), "answered 500"),
    "cut before the first word": (lambda server: server.cut_after(0), ":"),
    "cut in the middle": (lambda server: server.cut_after(4), ":"),
    "silence": (lambda server: server.silent(), "was silent for 1.5 s"),
    "a redirect": (lambda server: server.redirect_to("http://127.0.0.1:9/v1"), "write the final address as base_url"),
    "a web page": (lambda server: server.junk(), "a web page; check base_url"),
    "junk": (lambda server: server.junk(b"\xff{]", "text/event-stream"), ":"),
    "an answer without words": (lambda server: server.reply("<think>hm</think>"), "the model answered nothing"),
    "an endless stream": (lambda server: server.endless(), "longer than 256 KiB"),
}


@pytest.fixture
async def endpoints() -> AsyncIterator[dict[str, Loopback]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(kind("sk-the-key")) for name, kind in PROVIDERS.items()}


def deploy(folder: Path, endpoints: dict[str, Loopback]) -> Path:
    """Write a file in which each provider has an agent with a fallback and one without, and one with a wrong key."""
    write(folder / "characters" / "kovach.yaml", "name: Kovach\ndescription: Somebody.\n")
    file = folder / "deployments" / "camp.yaml"
    models = ["  spare: {provider: scripted, otherwise: Spare.}\n"]
    agents = []
    for name, endpoint in endpoints.items():
        for id_, more in ((f"{name}-safe", ", fallback: [spare]"), (f"{name}-alone", "")):
            models.append(MODEL.format(id=id_, provider=name, base_url=endpoint.base_url, more=more))
            agents.append(f"  {id_}: {{character: kovach, model: {id_}}}\n")
        stranger = MODEL.format(id=f"{name}-stranger", provider=name, base_url=endpoint.base_url, more="")
        models.append(stranger.replace("env:KEY", "env:WRONG"))
        agents.append(f"  {name}-stranger: {{character: kovach, model: {name}-stranger}}\n")
    text = [HEAD.format(home=file.parent / "home"), "models:\n", *models, "agents:\n", *agents]
    write(file.parent / ".env", "KEY=sk-the-key\nWRONG=sk-wrong-key\n")
    write(file, "".join(text))
    return file


async def traced(server: Serving, agent: str) -> tuple[list[str], dict[str, Any]]:
    """Say something to an agent; return its replies and the trace of the message."""
    answer = await server.post(f"/api/local/@{agent}/messages", user="ana", text="Hello?", wait=True)
    trace = await server.get(f"/api/trace/{answer['id']}")
    return [reply["text"] for reply in answer["replies"]], trace


async def failing(server: Serving, provider: str, endpoint: Loopback) -> None:
    """Let one provider fail in every way, with a fallback and without, and see that each can be seen."""
    for name, (fail, reason) in FAILURES.items():
        case = f"{provider}: {name}"
        for agent in (f"{provider}-safe", f"{provider}-alone"):
            endpoint.heal()
            endpoint.reply("Evening.")
            fail(endpoint)
            replies, trace = await traced(server, agent)
            if agent.endswith("safe"):
                assert (replies, trace["outcome"]) == (["Spare."], "answered"), case
                (attempt,) = trace["attempts"]
                assert attempt["model"] == agent, case
                assert reason in attempt["reason"], case
            else:
                assert (replies, trace["outcome"]) == ([], "failed"), case
                assert reason in trace["reason"], case
            if "429" in name:
                await asyncio.sleep(REST)  # until then it is not asked again
    endpoint.heal()
    endpoint.reply("Evening.")
    assert (await traced(server, f"{provider}-alone"))[0] == ["Evening."], "and it answers again"
    replies, trace = await traced(server, f"{provider}-stranger")
    assert replies == []
    assert "answered 401" in trace["reason"]
    assert "check api_key (env:WRONG)" in trace["reason"]


async def test_every_failure_of_every_provider_ends_in_a_reply_or_in_a_failure_that_can_be_seen(
    tmp_path: Path, endpoints: dict[str, Loopback]
) -> None:
    async with serving(deploy(tmp_path, endpoints)) as server:
        await asyncio.gather(*(failing(server, provider, endpoint) for provider, endpoint in endpoints.items()))
        failed = len(PROVIDERS) * (len(FAILURES) + 1)
        await server.until(lambda seen: sum("A turn failed" in line for line in seen.log) == failed)
        log = "\n".join(server.log)
        assert "A model failed; the next one is asked" in log
        assert "sk-the-key" not in log
        assert "sk-wrong-key" not in log


async def test_a_port_where_nobody_listens_is_a_failure_that_can_be_seen(tmp_path: Path) -> None:
    endpoints: dict[str, Loopback] = {}
    async with AsyncExitStack() as stack:
        for name, kind in PROVIDERS.items():
            endpoints[name] = await stack.enter_async_context(kind("sk-the-key"))
    # All are closed again: their ports refuse.
    async with serving(deploy(tmp_path, endpoints)) as server:
        for provider in PROVIDERS:
            replies, trace = await traced(server, f"{provider}-safe")
            assert replies == ["Spare."]
            assert "127.0.0.1" in str(trace["attempts"])
            replies, trace = await traced(server, f"{provider}-alone")
            assert (replies, trace["outcome"]) == ([], "failed")
