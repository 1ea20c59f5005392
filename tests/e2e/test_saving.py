"""Saving is the deployment: broken saves change nothing and say why, repairs go live by themselves."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from homunculus.testing.discord import DiscordServer
from tests.e2e.serving import Serving, serving, write

CARD = "name: {name}\ndescription: Somebody.\n"
FILE = """\
version: 1
bot_name: saving
data_home: {home}
server: {{port: 0}}
{messaging}models:
  default:
    provider: scripted
    replies: [{{when: "(?i)who", say: "I am {{{{char}}}}."}}]
    otherwise: "{say}"
agents:
  {agents}
channels:
  - {{platform: local, channel_id: tavern, agent_id: kovach-eod}}
"""


class Deployment:
    """The files of one deployment, written as a person writes them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "deployments" / "saving.yaml"
        self.cards = folder / "characters"
        self.card("kovach", "Kovach")

    def card(self, stem: str, name: str) -> None:
        write(self.cards / f"{stem}.yaml", CARD.format(name=name))

    def text(self, say: str = "Evening.", agents: str = "kovach-eod: {character: kovach}", messaging: str = "") -> str:
        home = self.file.parent / "home"
        return FILE.format(home=home, say=say, agents=agents, messaging=messaging)

    def save(self, **changes: str) -> None:
        write(self.file, self.text(**changes))


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def errors_of(server: Serving) -> list[str]:
    return [line for line in server.log if re.search(r"ERROR\s+\S+\.yaml:\d+:\d+: ", line)]


async def test_a_broken_save_leaves_everything_answering_and_says_every_error(deployment: Deployment) -> None:
    deployment.save()
    async with serving(deployment.file) as server:
        assert await server.ask("tavern", "hello") == ["Evening."]
        after = len(server.events)
        broken = (
            deployment.text(say="never")
            .replace("platform: local", "platfrom: local")
            .replace("version: 1", "version: one")
            .replace("character: kovach", "character: kovac")
        )
        write(deployment.file, broken)
        event = await server.event("reload", after=after, result="refused")
        assert len(event["errors"]) == 3, event["errors"]
        assert any(re.match(r"\S*saving\.yaml:1:10: version: ", error) for error in event["errors"])
        line = broken.splitlines().index("  - {platfrom: local, channel_id: tavern, agent_id: kovach-eod}") + 1
        assert any(
            f"saving.yaml:{line}:6: channels[0]" in e and 'did you mean "platform"?' in e for e in event["errors"]
        )
        assert any('did you mean "kovach"?' in error for error in event["errors"])
        await server.until(lambda s: len(errors_of(s)) >= 3)
        status = await server.get("/api/status")
        assert status["running_equals_file"] is False
        assert len(status["errors"]) == 3
        assert await server.ask("tavern", "hello") == ["Evening."]
        after = len(server.events)
        deployment.save(say="Repaired.")
        await server.event("reload", after=after, result="applied")
        assert await server.ask("tavern", "hello") == ["Repaired."]
        assert (await server.get("/api/status"))["running_equals_file"] is True


async def test_a_character_file_that_appears_heals_a_waiting_deployment(deployment: Deployment) -> None:
    deployment.save()
    async with serving(deployment.file) as server:
        after = len(server.events)
        deployment.save(agents="kovach-eod: {character: agnes}")
        event = await server.event("reload", after=after, result="refused")
        assert "agnes" in event["errors"][0]
        assert await server.ask("tavern", "who are you?") == ["I am Kovach."]
        after = len(server.events)
        deployment.card("agnes", "Agnes")
        await server.event("reload", after=after, result="applied")
        assert await server.ask("tavern", "who are you?") == ["I am Agnes."]


async def test_an_edited_card_is_live_at_once(deployment: Deployment) -> None:
    deployment.save()
    async with serving(deployment.file) as server:
        after = len(server.events)
        deployment.card("kovach", "Old Kovach")
        event = await server.event("reload", after=after, result="applied")
        assert event["changes"] == ["~ character kovach (name)  [hot]"]
        assert await server.ask("tavern", "who are you?") == ["I am Old Kovach."]


async def test_a_token_that_appears_in_dotenv_starts_the_adapter_that_waited(deployment: Deployment) -> None:
    async with DiscordServer() as discord:
        discord.add_bot("the-token-that-comes-late", name="Late")
        deployment.save(
            messaging="messaging:\n  discord:\n    token: env:LATE_TOKEN\n"
            f"    api_base: {discord.api_base}\n    gateway: {discord.gateway}\n"
        )
        async with serving(deployment.file) as server:
            status = {a["runtime_key"]: a for a in (await server.get("/api/status"))["adapters"]}
            assert status["discord"]["state"] == "unconfigured"
            assert "LATE_TOKEN" in status["discord"]["reason"]
            write(deployment.file.parent / ".env", "LATE_TOKEN=the-token-that-comes-late\n")
            await server.ready("discord")
            assert discord.identifies("the-token-that-comes-late") == 1
            everything = str(server.events) + "\n".join(server.log) + str(await server.get("/api/status"))
            assert "the-token-that-comes-late" not in everything


async def test_an_invalid_file_at_the_start_brings_up_what_ran_last(deployment: Deployment) -> None:
    deployment.save()
    async with serving(deployment.file) as server:
        assert await server.ask("tavern", "hello") == ["Evening."]
        assert await server.stopped() == 0
    write(deployment.file, deployment.text().replace("version: 1", "version: 1\nbogus: true"))
    async with serving(deployment.file) as server:
        assert await server.ask("tavern", "hello") == ["Evening."]
        assert (await server.get("/api/status"))["running_equals_file"] is False
        after = len(server.events)
        deployment.save(say="Repaired.")
        await server.event("reload", after=after, result="applied")
        assert await server.ask("tavern", "hello") == ["Repaired."]


async def test_a_port_that_is_taken_leaves_the_server_where_it_was_until_it_is_free(
    deployment: Deployment, unused_tcp_port: int
) -> None:
    deployment.save()
    async with serving(deployment.file) as server:
        other = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", unused_tcp_port)
        write(deployment.file, deployment.text().replace("{port: 0}", f"{{port: {unused_tcp_port}}}"))
        await server.until(lambda s: any("cannot follow" in line and "in use" in line for line in s.log))
        assert await server.ask("tavern", "hello") == ["Evening."]
        other.close()
        await other.wait_closed()
        here = f"listens address=http://127.0.0.1:{unused_tcp_port}"
        await server.until(lambda s: any(here in line for line in s.log), seconds=30)


async def test_a_secret_that_was_not_kept_is_no_password(deployment: Deployment) -> None:
    literal = deployment.text().replace("{port: 0}", "{port: 0, token: a-literal-token}")
    write(deployment.file, literal)
    async with serving(deployment.file, token="a-literal-token") as server:
        assert await server.ask("tavern", "hello") == ["Evening."]
        assert await server.stopped() == 0
    write(deployment.file, literal.replace("version: 1", "version: 1\nbogus: true"))
    async with serving(deployment.file) as server:
        for token in ("<secret>", "a-literal-token"):
            headers = {"Authorization": f"Bearer {token}"}
            async with server.session.get(f"{server.address}/api/status", headers=headers) as answer:
                assert answer.status == 401


async def test_a_moved_server_answers_at_its_new_port(deployment: Deployment, unused_tcp_port: int) -> None:
    deployment.save()
    async with serving(deployment.file) as server:
        write(deployment.file, deployment.text().replace("{port: 0}", f"{{port: {unused_tcp_port}}}"))
        await server.until(
            lambda s: any(f"listens address=http://127.0.0.1:{unused_tcp_port}" in line for line in s.log)
        )
        server.address = f"http://127.0.0.1:{unused_tcp_port}"
        async with server.session.get(f"{server.address}/healthz") as answer:
            assert answer.status == 200
