"""A platform of somebody else's, made of nothing but the code of docs/adding-a-platform.md, beside an untouched Homunculus."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.e2e.lounge import TOKEN, Lounge
from tests.e2e.serving import ROOT, serving, write

PAGE = ROOT / "docs" / "adding-a-platform.md"
CARD = "name: Kovach\ndescription: Somebody.\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Install the page's package as pip would: its modules, and the metadata that names its entry point."""
    folder = tmp_path / "site"
    adapter, contract = blocks("python")
    project = tomllib.loads(blocks("toml")[0])["project"]
    write(folder / "homunculus_lounge.py", adapter)
    write(folder / "test_lounge.py", contract)
    write(folder / "lounge.py", "from tests.e2e.lounge import Lounge\n")
    info = folder / f"homunculus_lounge-{project['version']}.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["homunculus.platforms"]
    write(info / "entry_points.txt", "[homunculus.platforms]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    return folder


def paths(site: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}


async def test_a_deployment_talks_on_a_platform_that_came_by_entry_point(tmp_path: Path, site: Path) -> None:
    async with Lounge() as lounge:
        text = blocks("yaml")[0].replace("tcp://127.0.0.1:7000", lounge.base)
        model = 'models: {default: {provider: scripted, otherwise: "{{char}} nods."}}\n'
        file = tmp_path / "deployments" / "lounge.yaml"
        write(tmp_path / "characters" / "kovach.yaml", CARD)
        write(file, f"{text}{model}data_home: {file.parent / 'home'}\nserver: {{port: 0}}\n")
        async with serving(file, env={**paths(site), "LOUNGE_TOKEN": TOKEN}) as server:
            await server.ready("lounge")
            await lounge.say("tavern", "ana", "Kovach, are you there?")
            await lounge.say("tavern", "bob", "!npc status")
            posts = [words for _, words in await lounge.posts("tavern", 2)]
            assert "Kovach nods." in posts
            assert any("lounge is ready" in words for words in posts)
            await lounge.down()
            await server.event("adapter", runtime_key="lounge", state="retrying")
            await lounge.up()
            await server.event("adapter", after=len(server.events), runtime_key="lounge", state="ready")
            await lounge.say("tavern", "ana", "Kovach, and now?")
            await lounge.posts("tavern", 3)


def test_the_contract_runs_on_it(site: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", str(site)]
    result = subprocess.run(
        command, cwd=site, env={**os.environ, **paths(site)}, capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, result.stdout
    assert re.search(r"\b(\d+) passed", result.stdout), result.stdout
    assert int(re.search(r"(\d+) passed", result.stdout)[1]) >= 15, result.stdout  # type: ignore[index]


async def test_a_mistake_in_its_block_is_an_error_with_a_place(tmp_path: Path, site: Path) -> None:
    file = tmp_path / "lounge.yaml"
    write(file, "version: 1\nmessaging:\n  lounge: {token: env:X, api_bse: tcp://a:1}\n")
    command = [sys.executable, "-m", "homunculus", "check", str(file)]
    result = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, **paths(site)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert 'lounge.yaml:3:26: messaging.lounge: unknown key "api_bse"; did you mean "api_base"?' in result.stdout
