"""Schemas and examples are found from a wheel, an editable install and a checkout; the documents say what is true."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FIND = (
    "import homunculus.config.paths as p, homunculus; print(homunculus.__file__); print(p.schema_dir()); "
    "print(p.example_dir('characters')); print(p.example_dir('deployments'))"
)


def found(python_path: Path | None, cwd: Path) -> list[Path]:
    env = {**os.environ, "PYTHONPATH": str(python_path or "")}
    result = subprocess.run([sys.executable, "-c", FIND], env=env, cwd=cwd, check=True, capture_output=True, text=True)
    return [Path(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    site = folder / "site"
    zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(site)
    return site


def test_a_wheel_carries_its_schemas_and_examples(wheel: Path, tmp_path: Path) -> None:
    package, schemas, characters, deployments = found(wheel, tmp_path)
    assert package.is_relative_to(wheel)
    for folder in (schemas, characters, deployments):
        assert folder.is_relative_to(wheel)
    assert {path.name for path in schemas.iterdir()} >= {"deployment.schema.json", "character.schema.json"}
    assert (characters / "kovach.yaml").read_bytes() == (ROOT / "characters" / "kovach.yaml").read_bytes()
    assert (wheel / "homunculus" / "web" / "static").is_dir()
    assert (wheel / "homunculus" / "rules" / "excerpts" / "coc7e.md").is_file()


def test_init_from_a_wheel_makes_a_deployment_that_checks(wheel: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(wheel)}
    for command in (["init", "game"], ["check", "game/deployments/campaigns.yaml"]):
        subprocess.run([sys.executable, "-m", "homunculus", *command], env=env, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "game" / "characters" / "chen-zhanggui.yaml").is_file()


def test_a_checkout_or_an_editable_install_finds_the_folders_beside_the_package(tmp_path: Path) -> None:
    package, *folders = found(ROOT, tmp_path)
    assert package.is_relative_to(ROOT / "homunculus")
    assert [folder.parent for folder in folders] == [ROOT] * 3


def fenced(text: str) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_ci_runs_exactly_the_test_command_of_the_readme() -> None:
    command = next(line for line in fenced((ROOT / "README.md").read_text("utf-8")) if "pytest" in line)
    last = command.rpartition("&&")[2].strip()
    assert last in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


def test_the_readme_sets_up_in_two_commands() -> None:
    commands = [line for line in fenced((ROOT / "README.md").read_text("utf-8")) if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert commands[0].endswith("homunculus serve deployments/campaigns.yaml")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http:", "https:")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_document_exists(document: Path) -> None:
    from homunculus.cli import app

    def names(of: Any) -> set[str]:
        return {info.name or getattr(info.callback, "__name__", "") for info in of.registered_commands}

    known = names(app)
    groups = {group.name: names(group.typer_instance) for group in app.registered_groups}
    for line in fenced(document.read_text("utf-8")):
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words and Path(words[0]).name == "homunculus":
                assert words[1] in known | groups.keys() | {"--version"}, f"{document.name}: {line}"
                assert words[1] not in groups or words[2] in groups[words[1]], f"{document.name}: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    file = ""
    for named, function in re.findall(
        r"`((?:tests|homunculus)/[\w/]+\.py|…)?(?:::(test_\w+))?`", document.read_text("utf-8")
    ):
        if not named:
            continue
        file = file if named == "…" else named
        assert (ROOT / file).is_file(), f"{document.name} names {file}"
        if function:
            assert re.search(rf"def {function}\b", (ROOT / file).read_text("utf-8")), (
                f"{document.name}: {file}::{function}"
            )
