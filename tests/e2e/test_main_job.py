"""The main job over sockets: one file, two NPCs on Discord, fifty saves while people talk.

The server is a real process with the real discord.py; Discord and the model's endpoint are loopback servers in this one.
What should have happened is derived from what this test wrote and posted, never from the program's own code.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from homunculus.testing.discord import DiscordServer
from homunculus.testing.model import ModelServer
from tests.e2e.serving import Serving, serving, write

SAVES = 50
TOKEN = "MAIN.bot.token-of-the-main-bot"
KEEPER = "KEEPER.bot.token-of-the-keeper"


def card(name: str, description: str) -> str:
    return f"name: {name}\ndescription: {description}\nlanguage: en\n"


class Campaign:
    """Writes the deployment: two channels that always stay, and whatever a save adds around them."""

    def __init__(self, folder: Path, discord: DiscordServer, model: ModelServer) -> None:
        self.file, self.discord, self.model = folder / "deployments" / "campaign.yaml", discord, model
        self.main = discord.add_bot(TOKEN, name="Main")
        self.keeper = discord.add_bot(KEEPER, name="Keeper")
        self.guild = discord.add_guild("Arkham", bots=[self.main, self.keeper])
        self.store = discord.add_channel(self.guild, "store")
        self.library = discord.add_channel(self.guild, "library")
        self.cellar = discord.add_channel(self.guild, "cellar")
        self.user = discord.add_user("Ana")
        self.extra: dict[str, str] = {}  # agent id → the place where it answers
        self.with_keeper = False
        self.order = [0, 1]
        for stem in ("kovach", "agnes", "john"):
            self.write_card(stem, f"The first description of {stem}.")

    def write_card(self, stem: str, description: str) -> None:
        write(self.file.parents[1] / "characters" / f"{stem}.yaml", card(stem.capitalize(), description))

    def save(self, comment: str = "") -> None:
        write(self.file, self.text(comment))

    def text(self, comment: str = "") -> str:
        keeper = f"    instances: [{{name: keeper, token: {KEEPER}}}]\n" if self.with_keeper else ""
        fixed = [
            f"  - {{platform: discord, channel_id: {self.store.id}, agent_id: kovach-eod}}",
            f"  - {{platform: discord, channel_id: {self.library.id}, agent_id: agnes-eod}}",
        ]
        channels = [fixed[n] for n in self.order]
        agents = []
        for agent_id, place in self.extra.items():
            adapter = ", adapter: keeper" if self.with_keeper else ""
            channels.append(f"  - {{platform: discord{adapter}, channel_id: {place}, agent_id: {agent_id}}}")
            agents.append(f"  {agent_id}: {{character: john, model: endpoint}}")
        return "\n".join(
            [
                f"# {comment}",
                "version: 1",
                "bot_name: campaign",
                f"data_home: {self.file.parent / 'home'}",
                "server: {port: 0}",
                "messaging:",
                "  discord:",
                f"    token: {TOKEN}",
                f"    api_base: {self.discord.api_base}",
                f"    gateway: {self.discord.gateway}",
                keeper + "models:",
                f"  endpoint: {{provider: openai, name: m, base_url: {self.model.base_url}, api_key: {self.model.key}}}",
                "agents:",
                "  kovach-eod: {character: kovach, model: endpoint}",
                "  agnes-eod: {character: agnes, model: endpoint, respond: always}",
                *agents,
                "channels:",
                *channels,
                "",
            ]
        )


def answer(body: dict[str, Any]) -> str:
    """Say who was asked: the name stands in the system text, as the card gave it."""
    system = body["messages"][0]["content"]
    return next(f"{name} answers." for name in ("Kovach", "Agnes", "John") if f"Name: {name}" in system)


def answer_to(body: dict[str, Any]) -> str:
    """Say also to what: the last word and number of the last line that people said."""
    heard = re.findall(r"(?:lamp|book) \d+", str(body["messages"][-1]["content"]))
    return f"{answer(body)} To {heard[-1]}."


def seen(campaign: Campaign) -> tuple[str, str]:
    """Return who is seen to have said what last in the cellar."""
    last = campaign.discord.messages(campaign.cellar)[-1]
    return last.username, last.content


async def reloaded(server: Serving, after: int) -> dict[str, Any]:
    event = await server.event("reload", after=after)
    assert event["result"] == "applied", event
    return event


class Talk:
    """People who never stop talking in one channel, at a steady pace, until told to."""

    def __init__(self, campaign: Campaign, place: Any, word: str) -> None:
        self.campaign, self.place, self.word = campaign, place, word
        self.posted: list[int] = []
        # So many that none of them meets the limit of answered turns a minute.
        self.crowd = [campaign.discord.add_user(f"Player {n}") for n in range(100)]
        self.over = asyncio.Event()

    async def run(self) -> None:
        campaign = self.campaign
        while not self.over.is_set():
            number = len(self.posted)
            player = self.crowd[number % len(self.crowd)]
            posted = campaign.discord.post(self.place, player, f"{self.word} {number}", mentions=[campaign.main])
            self.posted.append(posted.id)
            try:
                await asyncio.wait_for(self.over.wait(), 0.05)
            except TimeoutError:
                continue


def mutate(campaign: Campaign, rng: random.Random) -> str:
    """Change something around the two channels, or something about their people, and save it."""
    kind = rng.choice(["add", "add", "remove", "card", "order", "move"])
    if kind == "remove" and campaign.extra:
        campaign.extra.pop(rng.choice(sorted(campaign.extra)))
    elif kind == "card":
        campaign.write_card(rng.choice(["kovach", "agnes", "john"]), f"Described anew, {rng.random()}.")
        return "card"
    elif kind == "order":
        campaign.order.reverse()
    elif kind == "move" and campaign.extra:
        campaign.extra[rng.choice(sorted(campaign.extra))] = str(rng.randrange(10**17, 10**18))
    else:
        campaign.extra[f"john-{rng.randrange(10**6)}"] = str(rng.randrange(10**17, 10**18))
    campaign.save(f"save {rng.random()}")
    return kind


@pytest.mark.timeout(180)
async def test_fifty_saves_while_people_talk_lose_nothing_and_never_touch_the_connection(tmp_path: Path) -> None:
    rng = random.Random(20261122)
    async with DiscordServer() as discord, ModelServer() as model:
        model.script(answer_to)
        campaign = Campaign(tmp_path, discord, model)
        campaign.save()
        async with serving(campaign.file) as server:
            await server.ready("discord")
            talks = (Talk(campaign, campaign.store, "lamp"), Talk(campaign, campaign.library, "book"))
            talking = [asyncio.create_task(talk.run()) for talk in talks]
            for _ in range(SAVES):
                after = len(server.events)
                mutate(campaign, rng)
                await reloaded(server, after)
            for talk in talks:
                talk.over.set()
            await asyncio.gather(*talking)
            for talk, agent_id, name in zip(talks, ("kovach-eod", "agnes-eod"), ("Kovach", "Agnes"), strict=True):
                await every_message_belongs_to_one_answered_turn(server, campaign, talk, agent_id, name)
            assert discord.identifies(TOKEN) == 1
            assert discord.resumes(TOKEN) == 0
            assert discord.connections(TOKEN) == 1
            histories_are_apart(model)


async def every_message_belongs_to_one_answered_turn(
    server: Serving, campaign: Campaign, talk: Talk, agent_id: str, name: str
) -> None:
    """Hold what the channel shows against what was posted there; ask the program only which messages a turn joined."""
    last = str(talk.posted[-1])
    await server.until(
        lambda s: any(kind == "turn" and last in event["message_ids"] for kind, event in s.events), seconds=30
    )
    turns: dict[str, list[str]] = {}
    for posted in talk.posted:
        trace = await server.get(f"/api/trace/{posted}")
        assert (trace["outcome"], trace["agent_id"]) == ("answered", agent_id), json.dumps(trace, indent=1)
        turns.setdefault(trace["turn_id"], []).append(str(posted))
    said = [m for m in campaign.discord.messages(talk.place) if m.application_id == campaign.main.application_id]
    assert {m.username for m in said} == {name}
    numbers = {str(posted): number for number, posted in enumerate(talk.posted)}
    assert [m.content for m in said] == [
        f"{name} answers. To {talk.word} {numbers[messages[-1]]}." for messages in turns.values()
    ]
    assert sum(map(len, turns.values())) == len(talk.posted)


def histories_are_apart(model: ModelServer) -> None:
    """What was said in one channel never reaches the other's prompts."""
    heard = {"Kovach": "book", "Agnes": "lamp"}
    for body in model.requests:
        system, rest = body["messages"][0]["content"], str(body["messages"][1:])
        for name, foreign in heard.items():
            if f"Name: {name}" in system:
                assert foreign not in rest


async def test_a_save_gives_a_channel_to_somebody_else_for_the_next_message(tmp_path: Path) -> None:
    async with DiscordServer() as discord, ModelServer() as model:
        model.script(answer)
        campaign = Campaign(tmp_path, discord, model)
        campaign.extra["john-cellar"] = str(campaign.cellar.id)
        campaign.save()
        async with serving(campaign.file) as server:
            await server.ready("discord")
            discord.post(campaign.cellar, campaign.user, "John, hello")
            await discord.wait_for(lambda _: seen(campaign) == ("John", "John answers."))
            after = len(server.events)
            write(
                campaign.file,
                campaign.text().replace(
                    f"{campaign.cellar.id}, agent_id: john-cellar", f"{campaign.cellar.id}, agent_id: agnes-eod"
                ),
            )
            await reloaded(server, after)
            discord.post(campaign.cellar, campaign.user, "hello again")
            await discord.wait_for(lambda _: seen(campaign) == ("Agnes", "Agnes answers."))
            assert "John" not in str(model.requests[-1]["messages"][1:])  # her history here begins with her
            assert discord.identifies(TOKEN) == 1


async def test_an_instance_comes_and_goes_live_and_its_neighbour_is_undisturbed(tmp_path: Path) -> None:
    async with DiscordServer() as discord, ModelServer() as model:
        model.script(answer)
        campaign = Campaign(tmp_path, discord, model)
        campaign.save()
        async with serving(campaign.file) as server:
            await server.ready("discord")
            for cycle in range(2):
                after = len(server.events)
                campaign.with_keeper, campaign.extra = True, {"john-cellar": str(campaign.cellar.id)}
                campaign.save()
                await server.event("adapter", after=after, runtime_key="discord:keeper", state="ready")
                discord.post(campaign.cellar, campaign.user, "John, who are you?")
                await discord.wait_for(lambda _: seen(campaign) == ("John", "John answers."))
                assert discord.messages(campaign.cellar)[-1].application_id == campaign.keeper.application_id
                after = len(server.events)
                campaign.with_keeper, campaign.extra = False, {}
                campaign.save()
                await reloaded(server, after)
                await discord.wait_for(lambda d: d.connections(KEEPER) == 0, timeout=15)
                assert discord.identifies(KEEPER) == cycle + 1
            assert (discord.identifies(TOKEN), discord.resumes(TOKEN), discord.connections(TOKEN)) == (1, 0, 1)
            discord.post(campaign.library, campaign.user, "still there?")
            await discord.wait_for(lambda d: d.messages(campaign.library)[-1].content == "Agnes answers.")
