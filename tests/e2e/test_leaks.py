"""An instance that comes and goes leaves nothing behind."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import pytest

from homunculus.testing.discord import DiscordServer
from tests.e2e.cycles import WARM_UP, Measure, growth, measured
from tests.e2e.serving import write

CYCLES = 30  # in every run; fifty in `python -m tests.soak cycles`
MOST_GROWTH = 20_000  # bytes a cycle
MAIN, KEEPER = "MAIN.bot.token-of-the-main-bot", "KEEPER.bot.token-of-the-keeper"


def text(discord: DiscordServer, home: Path, place: int, *, keeper: bool) -> str:
    """Word the deployment: one bot that stays, one that comes with its channel and goes with it."""
    instances = f", instances: [{{name: keeper, token: {KEEPER}}}]" if keeper else ""
    rule = f"  - {{platform: discord, adapter: keeper, channel_id: {place}, agent_id: npc}}\n" if keeper else ""
    return f"""
version: 1
bot_name: cycles
data_home: {home}
server: {{enabled: false}}
messaging:
  discord: {{token: {MAIN}, api_base: {discord.api_base}, gateway: "{discord.gateway}"{instances}}}
models: {{lines: {{provider: scripted, otherwise: "Yes."}}}}
agents: {{npc: {{character: kovach, model: lines, respond: always}}}}
channels:
  - {{platform: discord, channel_id: 1, agent_id: npc}}
{rule}"""


async def cycles(folder: Path, times: int) -> list[Measure]:
    """Let an instance come, hear one message, answer it and go, so many times; return what was measured after each."""
    async with DiscordServer() as discord:
        bots = [discord.add_bot(MAIN, name="Main"), discord.add_bot(KEEPER, name="Keeper")]
        guild = discord.add_guild("Arkham", bots=bots)
        cellar = discord.add_channel(guild, "cellar")
        write(folder / "characters" / "kovach.yaml", "name: Kovach\ndescription: A keeper of a store.\n")
        file = folder / "deployments" / "cycles.yaml"
        home = folder / "home"
        texts = text(discord, home, cellar.id, keeper=True), text(discord, home, cellar.id, keeper=False)
        write(file, texts[1])
        crowd = cycle([discord.add_user(f"Player {n}") for n in range(60)])  # nobody meets the limit of turns a minute
        async with measured(times, file, texts, lambda: discord.post(cellar, next(crowd), "Anyone here?")) as measures:
            found = [one async for one in measures]
        assert len(discord.messages(cellar)) == 2 * times
        assert discord.identifies(KEEPER) == times
        assert discord.identifies(MAIN) == 1
        await discord.wait_for(lambda d: d.connections(KEEPER) == 0)
        return found


@pytest.mark.timeout(120)
async def test_instances_that_come_and_go_leave_no_task_thread_descriptor_or_memory(tmp_path: Path) -> None:
    found = await cycles(tmp_path, CYCLES)
    assert len(found) == CYCLES
    steady = found[WARM_UP:]
    assert {(m.tasks, m.descriptors) for m in steady} == {(steady[0].tasks, steady[0].descriptors)}
    assert steady[-1].threads <= steady[0].threads
    assert growth(found) < MOST_GROWTH, [m.memory for m in found]
