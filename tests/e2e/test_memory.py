"""Memory as a user meets it: learned in a talk, recalled in the next one, and kept by the command line beside the server."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from homunculus import cli
from tests.e2e.serving import Serving, deployed, serving, write
from tests.e2e.test_command_line import run

FILE = """\
version: 1
data_home: {home}
server: {{port: 0}}
models:
  default: {{provider: scripted, otherwise: "{{{{char}}}} nods."}}
  scribe:
    provider: scripted
    otherwise: NONE
    replies:
      - {{when: "I owe you three dollars", say: "- Ana owes Kovach three dollars."}}
      - {{when: "password is swordfish", say: "- The password is swordfish."}}
memory: {{extract_with: scribe, embeddings: "off"}}
agents:
  kovach-eod: {{character: kovach}}
  kovach-masks: {{character: kovach}}
channels:
  - {{platform: local, channel_id: tavern, agent_id: kovach-eod}}
  - {{platform: local, channel_id: docks, agent_id: kovach-masks}}
messaging: {{local: {{dm_allowed_users: ["*"]}}}}
default_agent: kovach-eod
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return deployed(tmp_path, FILE, "kovach")


@pytest.fixture
async def server(file: Path) -> AsyncIterator[Serving]:
    async with serving(file) as running:
        yield running


def homunculus(*arguments: str | Path, stdin: str = "") -> tuple[int, str, str]:
    """Run a memory command in this process; return its exit code and what it printed: an interpreter each takes long."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.StringIO(stdin))
        code = cli.run(["memory", *map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


def told(*arguments: str | Path, stdin: str = "") -> Any:
    """Run a memory command and return its JSON."""
    code, out, err = homunculus(*arguments, "--json", stdin=stdin)
    assert code == 0, err
    return json.loads(out)


async def until(look: Callable[[], Awaitable[Any]], seconds: float = 20.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await look()):  # noqa: ASYNC110 - what another process writes is only seen by looking
            await asyncio.sleep(0.1)
        return found


async def asked(*arguments: str | Path) -> Any:
    """Run a memory command in a process of its own, as beside a server, and return its JSON."""
    done = await run("memory", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def remembered(file: Path, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await asked("list", file, namespace)
    return found


async def recalled(server: Serving, chat: str, text: str, **body: Any) -> str:
    """Say something and return what the trace says of the recall."""
    answer = await server.say(chat, text, mention=True, **body)
    assert answer["replies"]
    return await server.traced(answer, "recall")


async def test_what_was_said_is_learned_and_recalled_by_that_agent_alone(server: Serving, file: Path) -> None:
    assert await recalled(server, "tavern", "I owe you three dollars, Kovach.") == "no facts"
    [fact] = await until(lambda: remembered(file, "kovach-eod"))
    assert (fact["text"], fact["source"]) == ("Ana owes Kovach three dollars.", "ana @ local:tavern")
    question = "Kovach, how many dollars do I owe?"

    async def found() -> bool:
        return await recalled(server, "tavern", question) == f"1 facts: {fact['id']}"

    await until(found)
    assert await recalled(server, "docks", question) == "no facts"
    assert await remembered(file, "kovach-masks") == []


async def test_a_secret_of_a_direct_message_is_recalled_in_it_alone(server: Serving, file: Path) -> None:
    await recalled(server, "ana", "The password is swordfish.", dm=True)
    [fact] = await until(lambda: remembered(file, "kovach-eod"))

    async def found() -> bool:
        return fact["id"] in await recalled(server, "ana", "What is the password, swordfish?", dm=True)

    await until(found)
    assert await recalled(server, "tavern", "What is the password, swordfish?") == "no facts"


async def test_what_could_not_be_learned_is_counted_and_shown(file: Path) -> None:
    nobody = 'scribe: {provider: openai, name: gone, base_url: "http://127.0.0.1:9/v1", api_key: k}'
    begin, _, rest = file.read_text().partition("  scribe:\n")
    write(file, f"{begin}  {nobody}\nmemory:{rest.partition('memory:')[2]}")
    async with serving(file) as server:
        assert (await server.get("/api/status"))["memory"] == {"failed": 0, "left_out": 0}
        assert await recalled(server, "tavern", "I owe you three dollars, Kovach.") == "no facts"

        async def counted() -> bool:
            return bool((await server.get("/api/status"))["memory"] == {"failed": 1, "left_out": 0})

        await until(counted)
        shown = await run("status", file)
        assert "nothing was learned from 1 turns that failed and 0 that were left out" in shown.stdout


async def test_the_server_finds_what_the_command_line_and_a_person_change(server: Serving, file: Path) -> None:
    harpoon = "Kovach, tell me about the harpoon"
    assert await recalled(server, "tavern", harpoon) == "no facts"
    [fact] = await asked("add", file, "kovach-eod", "Old Marsh keeps a harpoon.")

    async def seen() -> bool:
        return fact["id"] in await recalled(server, "tavern", harpoon)

    async def unseen() -> bool:
        return await recalled(server, "tavern", harpoon) == "no facts"

    await until(seen)
    await asked("forget", file, "kovach-eod", fact["id"])
    await until(unseen)
    await asked("restore", file, "kovach-eod", fact["id"])
    await until(seen)
    day = next((file.parent / "home/agents/camp/kovach-eod/memory").glob("2*.md"))
    day.write_text(day.read_text("utf-8").replace(fact["id"], "b1b1b1"), "utf-8")

    async def renamed() -> bool:
        return "b1b1b1" in await recalled(server, "tavern", harpoon)

    await until(renamed)


def test_a_memory_that_was_never_served_is_kept_by_the_command_line(file: Path) -> None:
    assert told("list", file, "kovach-eod") == []
    assert told("search", file, "kovach-eod", "money") == []
    assert not (file.parent / "home").exists()
    text = "  Ana  owes Kovach — 3 dollars; <b>really</b>"
    [first] = told("add", file, "kovach-eod", text, "--session", "4", "--date", "12 Oct 1925")
    assert first["text"] == text.strip()
    more = told("add", file, "kovach-eod", "-", stdin="The lamp is broken.\n\n灯塔看守人失踪了。\n")
    assert [fact["text"] for fact in more] == ["The lamp is broken.", "灯塔看守人失踪了。"]
    assert (first["gm"], "gm" in told("add", file, "kovach-eod", "The door is open.", "--open")[0]) == (True, False)
    found = told("search", file, "kovach-eod", "dollars Ana", "-n", "2")
    assert found[0].items() >= {"id": first["id"], "text": text.strip(), "source": "command line"}.items()
    assert found[0].keys() >= {"id", "text", "score", "time", "source"}
    assert told("search", file, "kovach-eod", "看守人")[0]["text"] == "灯塔看守人失踪了。"
    assert told("list", file) == [
        {"namespace": "kovach-eod", "agent": "kovach-eod", "facts": 4},
        {"namespace": "kovach-masks", "agent": "kovach-masks", "facts": 0},
    ]
    _, exported, _ = homunculus("export", file, "kovach-eod")
    assert exported.splitlines() == [
        f"- {text.strip()}",
        "- The lamp is broken.",
        "- 灯塔看守人失踪了。",
        "- The door is open.",
    ]


def test_a_fact_is_edited_and_what_it_said_is_told(file: Path) -> None:
    [secret] = told("add", file, "kovach-eod", "The vicar did it.")
    [again] = told("add", file, "kovach-eod", "the vicar did it", "--open")
    assert again == secret
    code, _, err = homunculus("add", file, "kovach-eod", "the vicar did it", "--open")
    assert (code, f"{secret['id']} was known already and stays secret" in err) == (0, True)
    code, out, err = homunculus("edit", file, "kovach-eod", secret["id"], "The butler\ndid it.", "--json")
    assert (code, json.loads(out)) == (0, [{**secret, "text": "The butler did it."}])
    assert "before: The vicar did it." in err
    assert told("list", file, "kovach-eod") == [{**secret, "text": "The butler did it."}]


def test_every_removal_can_be_undone(file: Path) -> None:
    facts = told("add", file, "kovach-eod", "-", stdin="one harpoon\ntwo lamps\nthree ferries\n")
    ids = [fact["id"] for fact in facts]
    code, _, wrong = homunculus("forget", file, "kovach-eod", ids[0], "z9z9z9")
    assert code == 1
    assert "z9z9z9" in wrong
    assert len(told("list", file, "kovach-eod")) == 3
    told("forget", file, "kovach-eod", ids[0], ids[1])
    assert [fact["id"] for fact in told("restore", file, "kovach-eod")["forgotten"]] == ids[:2]
    told("restore", file, "kovach-eod", ids[0])
    assert {fact["id"] for fact in told("list", file, "kovach-eod")} == {ids[0], ids[2]}
    name = told("archive", file, "kovach-eod")["archive"]
    assert (file.parent / "home/archive/camp" / name / "memory").is_dir()
    assert told("list", file, "kovach-eod") == []
    assert told("restore", file, "kovach-eod")["archives"] == [name]
    told("restore", file, "kovach-eod", name)
    assert {fact["id"] for fact in told("list", file, "kovach-eod")} == {ids[0], ids[2]}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("search", "kovach-eo", "x"), 1, 'did you mean "kovach-eod"?'),
        (("list", "../../etc"), 1, "no agent has the memory namespace"),
        (("add", "kovach-eod", "  "), 3, "the text is empty"),
        (("restore", "kovach-eod", "kovach-masks-20200101T000000Z"), 1, "nothing to be found"),
        (("search", "kovach-eod"), 64, "QUERY"),
        (("edit", "kovach-eod", "z9z9z9", "x"), 1, "nothing to be found under z9z9z9"),
        (("edit", "kovach-eod", "z9z9z9"), 64, "TEXT"),
        (("add", "kovach-eod", "x", "--opne"), 64, "--open"),
    ],
)
def test_wrong_input_says_what_would_be_right(file: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    command, *rest = arguments
    ended, out, err = homunculus(command, file, *rest)
    assert (ended, out) == (code, "")
    assert says in err


async def test_two_processes_that_add_at_once_lose_nothing(file: Path) -> None:
    stdin = "".join(f"fact {{}} {number}\n" for number in range(40))
    done = await asyncio.gather(
        *(run("memory", "add", file, "kovach-eod", "-", stdin=stdin.replace("{}", str(who))) for who in range(2))
    )
    assert [one.returncode for one in done] == [0] * 2
    facts = await remembered(file, "kovach-eod")
    assert len({fact["id"] for fact in facts}) == len({fact["text"] for fact in facts}) == len(facts) == 80
