"""A greeting, from the card to the room, through a real server."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.serving import Serving, serving, write

FILE = """\
version: 1
data_home: {home}
server: {{port: 0}}
models: {{default: {{provider: scripted, otherwise: "{{{{char}}}} nods."}}}}
agents:
  kovach-eod: {{character: kovach, greeting: true}}
channels:
  - {{platform: local, channel_id: tavern, agent_id: kovach-eod}}
"""
CARD = "name: Kovach\ndescription: Somebody.\nlanguage: zh\ngreeting: '{{char}}看了{{user}}一眼。'\n"


async def said(server: Serving) -> list[str]:
    return [post["text"] for post in (await server.get("/api/local/tavern/messages"))["messages"]]


async def test_an_npc_greets_a_place_that_a_save_gives_it_and_never_again(tmp_path: Path) -> None:
    file = tmp_path / "deployments" / "camp.yaml"
    text = FILE.format(home=file.parent / "home")
    write(tmp_path / "characters" / "kovach.yaml", CARD)
    write(file, text.replace(", greeting: true", ""))
    async with serving(file) as server:
        assert await said(server) == []
        write(file, text)
        await server.event("reply", author="Kovach")
        assert await said(server) == ["Kovach看了你一眼。"]
        assert await server.ask("tavern", "hello") == ["Kovach nods."]
    async with serving(file) as server:
        assert await server.ask("tavern", "hello again") == ["Kovach nods."]
        assert await said(server) == ["hello again", "Kovach nods."]
