"""`!npc swap` as a game master gives it: the file, the memory and the history change together, or nothing does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.serving import Serving, deployed, serving, write
from tests.e2e.test_command_line import homunculus

FILE = """\
# The campaign of the long winter.
version: 1
bot_name: camp
data_home: {home}
server: {{port: 0}}
messaging:
  local: {{authority: [ana]}}
models:
  default: {{provider: scripted, otherwise: "{{{{char}}}} nods."}}
memory: {{embeddings: "off"}}
agents:
  keeper:
    character: kovach   # the veteran
    respond: always
channels:
  - {{platform: local, channel_id: tavern, agent_id: keeper}}
  - {{platform: local, channel_id: docks, agent_id: keeper}}
  - platform: local
    channel_id: attic
    character: kovach
    memory_namespace: attic
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return deployed(tmp_path, FILE, "kovach", "john")


@pytest.fixture
async def server(file: Path) -> AsyncIterator[Serving]:
    async with serving(file) as running:
        yield running


async def by(server: Serving, user: str, text: str, chat: str = "tavern") -> str:
    """Say something in a place; return what came back."""
    return "\n".join(await server.ask(chat, text, user=user, mention=True))


async def remembered(server: Serving, query: str) -> list[str]:
    """Return what the keeper remembers about something, secrets included."""
    return [fact["text"] for fact in (await server.get(f"/api/memory/keeper?q={query}"))["facts"]]


async def history(server: Serving, chat: str) -> str:
    """Say something and return what the trace says of the history that was read for it."""
    return await server.traced(await server.say(chat, "well?", user="bob", mention=True), "history")


async def test_a_swap_changes_one_word_of_the_file_and_begins_blank(server: Serving, file: Path) -> None:
    before = file.read_text()
    assert await by(server, "bob", "hello") == "Kovach nods."
    assert "Remembered" in await by(server, "ana", "!npc remember The mill burned down.")
    assert await remembered(server, "mill")
    generation = (await server.get("/api/status"))["generation"]
    told = await by(server, "ana", "!npc swap john")
    assert told.startswith("John speaks now wherever Kovach did (keeper), and remembers nothing yet.\nWhat Kovach")
    assert file.read_text() == before.replace(
        "    character: kovach   # the veteran", "    character: john   # the veteran"
    )
    assert await by(server, "bob", "hello", "docks") == "John nods."
    assert await history(server, "tavern") == "0 lines"
    assert await history(server, "tavern") == "2 lines"
    assert not await remembered(server, "mill")
    assert await by(server, "bob", "hello", "attic") == "Kovach nods."
    status = await server.get("/api/status")
    assert (status["running_equals_file"], status["generation"]) == (True, generation + 1)
    assert [adapter["state"] for adapter in status["adapters"]] == ["ready"]
    # What Kovach remembered is kept, and can be brought back to whoever speaks now.
    name = told.partition("is kept as ")[2].partition(";")[0]
    await asyncio.to_thread(homunculus, "memory", "restore", str(file), "keeper", name)
    async with asyncio.timeout(10):
        while not await remembered(server, "mill"):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.1)


async def test_who_may_not_swap_and_who_cannot_be_swapped_in_change_nothing(server: Serving, file: Path) -> None:
    before = file.read_text()
    assert "authority" in await by(server, "bob", "!npc swap john")
    assert 'did you mean "john"?' in await by(server, "ana", "!npc swap jonh")
    assert "speaks here already" in await by(server, "ana", "!npc swap kovach")
    assert "named as its file" in await by(server, "ana", "!npc swap ../characters/john.yaml")
    assert "character is missing" in await by(server, "ana", "!npc swap")
    write(file, before.replace("version: 1", "version: 1\nnonsense: 1"))
    assert "has errors, which come first" in await by(server, "ana", "!npc swap john")
    write(file, before)
    assert await by(server, "bob", "hello") == "Kovach nods."
    assert file.read_text() == before
    assert not (file.parent / "home/archive").exists()


@pytest.mark.parametrize("point", ["memory archived", "file written"])  # every other: tests/unit/runtime/test_swap.py
async def test_a_kill_in_the_middle_leaves_all_or_nothing(file: Path, point: str) -> None:
    before = file.read_text()
    async with serving(file, program=("tests.e2e.mortal", point, "1")) as server:
        assert await by(server, "bob", "hello") == "Kovach nods."
        assert "Remembered" in await by(server, "ana", "!npc remember The mill burned down.")
        with pytest.raises(aiohttp.ClientError):
            await by(server, "ana", "!npc swap john")
        assert await server.process.wait() == -signal.SIGKILL
    async with serving(file) as server:
        swapped = point == "file written"
        assert file.read_text() == (
            before.replace("character: kovach   #", "character: john   #") if swapped else before
        )
        assert await history(server, "tavern") == ("0 lines" if swapped else "2 lines")
        assert (await remembered(server, "mill") == []) is swapped
        assert await by(server, "bob", "hello") == ("John nods." if swapped else "Kovach nods.")
        assert len(list((file.parent / "home/archive/camp").glob("keeper-*"))) == int(swapped)


async def test_an_agent_written_in_place_is_swapped_in_place(server: Serving, file: Path) -> None:
    assert "John speaks now" in await by(server, "ana", "!npc swap john", "attic")
    assert "    channel_id: attic\n    character: john\n" in file.read_text()
    assert await by(server, "bob", "hello", "attic") == "John nods."
    assert await by(server, "bob", "hello") == "Kovach nods."
