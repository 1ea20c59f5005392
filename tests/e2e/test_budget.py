"""Budgets through the file, the chat, the API and the command line of a real server, across a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from homunculus.testing.model import AnthropicServer
from tests.e2e.serving import Serving, serving, write
from tests.e2e.test_command_line import run

FILE = """\
version: 1
bot_name: camp
data_home: {home}
server: {{port: 0}}
models:
  claude:
    provider: anthropic
    name: some-model
    base_url: {endpoint}
    api_key: env:KEY
    price: {{input: 1000, output: 5000}}
    budget: {{{budget}}}
  default: {{provider: scripted, otherwise: "{{{{char}}}} nods."}}
agents:
  kovach-eod: {{character: kovach, model: claude}}
channels:
  - {{platform: local, channel_id: tavern, agent_id: kovach-eod}}
"""


async def used(server: Serving, model: str = "claude") -> dict[str, Any]:
    status = await server.get("/api/status")
    return next(entry for entry in status["usage"]["models"] if entry["model"] == model)


async def test_a_budget_that_is_used_up_silences_until_it_is_raised_and_survives_a_restart(tmp_path: Path) -> None:
    write(tmp_path / "characters" / "kovach.yaml", "name: Kovach\ndescription: Somebody.\n")
    file = tmp_path / "deployments" / "camp.yaml"
    async with AnthropicServer() as endpoint:

        def save(budget: str) -> None:
            home = file.parent / "home"
            write(file, FILE.format(home=home, endpoint=endpoint.base_url, budget=budget))

        endpoint.reply("Kovach: Evening.")
        save("tokens_per_day: 10")
        write(file.parent / ".env", f"KEY={endpoint.key}\n")
        async with serving(file) as server:
            assert (await used(server))["calls"] == 0
            assert await server.ask("tavern", "Kovach, a word?") == ["Evening."]
            assert await server.ask("tavern", "Kovach, another?") == []
            assert len(endpoint.requests) == 1
            counted = await used(server)
            assert counted["spent"] == "its budget of 10 tokens a day is used up until midnight UTC"
            assert counted["tokens_in"] + counted["tokens_out"] > 10
            assert counted["cost"] > 0
            status = await server.get("/api/status")
            assert status["status"] == "degraded"
            assert f"claude: {counted['spent']}" in status["reasons"]
            assert [entry["agent_id"] for entry in status["usage"]["agents"]] == ["kovach-eod"]
            assert [entry["conversation"] for entry in status["usage"]["conversations"]] == ["local:tavern"]
            assert await server.stopped() == 0
        async with serving(file) as server:
            assert await server.ask("tavern", "Kovach, still there?") == []
            assert len(endpoint.requests) == 1
            assert (await used(server))["tokens_in"] == counted["tokens_in"]
            told = await run("status", file, "--json")
            assert told.returncode == 0
            assert json.loads(told.stdout)["usage"]["models"][0]["spent"] == counted["spent"]
            assert "rests" in (await run("status", file)).stdout
            save("cost_per_day: 1000")
            await server.event("reload", result="applied")
            assert await server.ask("tavern", "Kovach, now?") == ["Evening."]
            table = (await run("status", file)).stdout
            assert "in use" in table
            assert "of 1000" in table
