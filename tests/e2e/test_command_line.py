"""Every command as a user types it: what it prints, where, and its exit code."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.serving import Serving, deployed, serving, write

FILE = """\
version: 1
data_home: {home}
server: {{port: 0}}
models: {{default: {{provider: scripted, otherwise: "{{{{char}}}} nods."}}}}
agents:
  kovach-eod: {{character: kovach}}
  agnes-eod: {{character: agnes}}
channels:
  - {{platform: local, channel_id: tavern, agent_id: kovach-eod}}
bindings:
  - {{agent_id: agnes-eod, channel: local}}
"""


def homunculus(*arguments: str | Path, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homunculus", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, cwd=cwd, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return deployed(tmp_path, FILE, "kovach", "agnes")


@pytest.fixture
async def server(file: Path) -> AsyncIterator[Serving]:
    async with serving(file) as running:
        yield running


async def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(homunculus, *arguments, stdin=stdin)


def test_the_version_is_printed() -> None:
    result = homunculus("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("homunculus 0.")


@pytest.mark.parametrize("arguments", [["bogus"], ["check"], ["serve", "--bogus", "x"], ["schema", "x"]])
def test_wrong_usage_is_exit_code_64(arguments: list[str]) -> None:
    result = homunculus(*arguments)
    assert result.returncode == 64
    assert result.stdout == ""
    assert "--help" in result.stderr


def test_check_of_a_good_file_is_exit_code_0(file: Path) -> None:
    result = homunculus("check", file)
    assert (result.returncode, result.stdout) == (0, "")
    assert "0 errors, 0 warnings" in result.stderr


def test_check_names_every_error_on_a_line_of_its_own_and_is_exit_code_1(file: Path) -> None:
    write(file, file.read_text().replace("agents:", "agentz:"))
    result = homunculus("check", file.name, cwd=file.parent)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert 'camp.yaml:5:1: unknown key "agentz"; did you mean "agents"?' in lines
    assert all(line.startswith("camp.yaml:") for line in lines)
    as_json = json.loads(homunculus("check", "--json", file.name, cwd=file.parent).stdout)
    assert as_json["errors"][0]["location"] == "camp.yaml:5:1"
    assert as_json["errors"][0]["hint"] == 'did you mean "agents"?'


def test_a_missing_file_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    for command in (["check"], ["plan"], ["serve"], ["chat"], ["status"], ["route", "--platform", "local"]):
        result = homunculus(command[0], tmp_path / "nowhere.yaml", *command[1:])
        assert result.returncode == 1, command
        assert "nowhere.yaml" in result.stdout + result.stderr
        assert "Traceback" not in result.stderr


def test_plan_tells_changes_by_its_exit_code(file: Path, tmp_path: Path) -> None:
    assert homunculus("plan", file).returncode == 2
    same = homunculus("plan", file, "--from", file)
    assert (same.returncode, same.stdout) == (0, "no changes\n")
    other = tmp_path / "deployments" / "other.yaml"
    write(other, file.read_text().replace("version: 1", "version: 1\nbot_name: camp").replace("tavern", "cellar"))
    changed = homunculus("plan", other, "--from", file)
    assert changed.returncode == 2
    assert "+ channel local cellar → kovach-eod  [hot]" in changed.stdout


def test_route_shows_every_rule_and_who_answers(file: Path) -> None:
    result = homunculus("route", file, "--platform", "local", "--chat", "elsewhere", "--mention")
    assert result.returncode == 0
    assert "channels[0] → kovach-eod: no: chat_id" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("answers: agnes-eod")
    as_json = homunculus("route", file, "--platform", "local", "--chat", "tavern", "--json")
    assert json.loads(as_json.stdout)["agent_id"] == "kovach-eod"


def test_the_schemas_are_printed() -> None:
    for name in ("deployment", "character"):
        assert json.loads(homunculus("schema", name).stdout)["$schema"].endswith("2020-12/schema")


def test_init_makes_a_deployment_that_checks_and_touches_nothing_that_is_there(tmp_path: Path) -> None:
    assert homunculus("init", tmp_path).returncode == 0
    deployment = tmp_path / "deployments" / "campaigns.yaml"
    assert homunculus("check", deployment).returncode == 0
    deployment.write_text("mine")
    assert homunculus("init", tmp_path).returncode == 0
    assert deployment.read_text() == "mine"


def test_chat_without_a_server_runs_the_same_pipeline(file: Path) -> None:
    result = homunculus("chat", file, "agnes-eod", stdin="hello\nstill there?\n")
    assert result.returncode == 0
    assert result.stdout.splitlines() == ["Agnes: Agnes nods.", "Agnes: Agnes nods."]


def test_chat_with_nobody_of_that_name_says_who_there_is(file: Path) -> None:
    result = homunculus("chat", file, "bob")
    assert result.returncode == 3
    assert "kovach-eod, agnes-eod" in result.stderr


def test_chat_works_where_the_local_platform_is_off(file: Path) -> None:
    write(file, file.read_text() + "messaging: {local: {enabled: false}}\nlog_level: DEBUG\n")
    result = homunculus("chat", file, "kovach-eod", stdin="hello\n")
    assert result.stdout.splitlines() == ["Kovach: Kovach nods."]
    assert "DEBUG" not in result.stderr


async def test_an_interrupt_ends_a_chat_that_waits_for_a_line(file: Path) -> None:
    command = (sys.executable, "-m", "homunculus", "chat", str(file))
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"hello\n")
    assert await process.stdout.readline() == b"Kovach: Kovach nods.\n"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 15) == 130
    process.stdin.close()


async def test_a_server_without_a_page_is_not_taken_for_none(file: Path) -> None:
    write(file, file.read_text().replace("{port: 0}", "{enabled: false}"))
    command = (sys.executable, "-m", "homunculus", "serve", str(file))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    while b"server" not in await process.stdout.readline():
        pass
    for asked in (["status"], ["plan"], ["chat"]):
        result = await run(asked[0], file)
        assert result.returncode == 3
        assert f"process {process.pid} runs camp without a web server" in result.stderr
    process.terminate()
    await process.communicate()


def test_a_closed_pipe_ends_a_command_quietly(file: Path) -> None:
    command = f"{sys.executable} -m homunculus schema deployment | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "{\n"
    assert result.stderr == ""


def test_prompt_shows_what_a_model_would_get_and_what_each_part_costs(file: Path) -> None:
    shown = homunculus("prompt", file, "kovach-eod", "--text", "Evening, Kovach.")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("[system]\nYou are Kovach, a character")
    assert "[user]\nTraveller: Evening, Kovach." in shown.stdout
    assert re.search(r"^character\t\d+$", shown.stdout, re.MULTILINE)
    as_json = json.loads(homunculus("prompt", file, "kovach-eod", "--json").stdout)
    assert as_json["messages"][-1] == {"role": "user", "content": "Traveller: Hello."}
    assert as_json["tokens"]["messages"] > 0
    nobody = homunculus("prompt", file, "kovach")
    assert (nobody.returncode, "there are kovach-eod, agnes-eod" in nobody.stdout + nobody.stderr) == (1, True)


async def test_chat_goes_through_a_running_server(server: Serving, file: Path) -> None:
    result = await run("chat", file, "agnes-eod", stdin="hello\n")
    assert result.stdout.splitlines() == ["Agnes: Agnes nods."]
    posts = (await server.get("/api/local/@agnes-eod/messages"))["messages"]
    assert [post["text"] for post in posts] == ["hello", "Agnes nods."]


async def test_a_second_serve_names_the_process_that_holds_the_lock(server: Serving, file: Path) -> None:
    result = await run("serve", file)
    assert result.returncode == 1
    assert str(server.process.pid) in result.stderr


async def test_status_shows_the_running_server_and_a_fresh_sign_in_link(server: Serving, file: Path) -> None:
    result = await run("status", file)
    assert result.returncode == 0
    assert "agent\tagnes-eod\tAgnes" in result.stdout
    assert "bot\tcamp\trunning = file\tgeneration 1" in result.stdout
    assert f"Open {server.address}/sign-in?code=" in result.stdout
    as_json = json.loads((await run("status", file, "--json")).stdout)
    assert as_json["running_equals_file"] is True


def test_status_without_a_server_is_exit_code_3(file: Path) -> None:
    assert homunculus("status", file).returncode == 3


async def test_plan_and_route_ask_the_running_server(server: Serving, file: Path) -> None:
    same = await run("plan", file)
    assert (same.returncode, same.stdout) == (0, "no changes\n")
    answer = await run("route", file, "--platform", "local", "--chat", "tavern", "--json")
    assert json.loads(answer.stdout)["agent_id"] == "kovach-eod"


@pytest.mark.parametrize(("by", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_drains_and_ends_it(server: Serving, file: Path, by: signal.Signals, code: int) -> None:
    state = file.parent / "home" / "state"
    assert list(state.glob("*.run.json"))
    assert await server.stopped(by) == code
    assert not list(state.glob("*.run.json"))


async def test_a_dead_server_is_not_mistaken_for_a_running_one(server: Serving, file: Path) -> None:
    server.process.kill()
    await server.process.wait()
    assert (await run("status", file)).returncode == 3
    assert (await run("check", file)).returncode == 0


def test_strict_ends_on_an_adapter_that_cannot_start(file: Path) -> None:
    write(file, file.read_text() + "messaging: {discord: {token: env:SURELY_NOT_SET_ANYWHERE}}\n")
    result = homunculus("serve", "--strict", file)
    assert result.returncode == 3
    assert "SURELY_NOT_SET_ANYWHERE" in result.stderr


def test_strict_ends_on_an_invalid_file(file: Path) -> None:
    write(file, "version: 2\n")
    assert homunculus("serve", "--strict", file).returncode == 1


async def test_the_log_as_json_is_one_object_a_line(file: Path) -> None:
    async with serving(file, "--log-format", "json") as server:
        await server.until(lambda s: s.log)
        assert all("message" in json.loads(line) for line in server.log)
