"""Commands that make something on disk: init and fetch-model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from homunculus.cli import output
from homunculus.config.paths import example_dir, schema_dir
from homunculus.container import weights_cache
from homunculus.models.embedded import weights

_GITIGNORE = "# Tokens live in .env: never commit them.\n.env\n"


def init(folder: Path) -> int:
    """Write a first deployment, its characters and the schemas into a folder; nothing that is there is touched."""
    sources = {
        "deployments": example_dir("deployments").glob("*.yaml"),
        "characters": example_dir("characters").glob("*.yaml"),
        "schemas": schema_dir().glob("*.schema.json"),
    }
    for name, files in sources.items():
        for source in sorted(files):
            _copy(source, folder / name / source.name)
    ignored = folder / "deployments" / ".gitignore"
    if not ignored.exists():
        ignored.write_text(_GITIGNORE, "utf-8")
    deployment = folder / "deployments" / "campaigns.yaml"
    output.say(f"Next: homunculus serve {deployment}", "bold")
    return 0


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        output.say(f"kept    {target}")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    output.say(f"created {target}", "green")


def fetch_model() -> int:
    """Fetch the embedded model's weights into the cache, unless they are there; print where they lie."""
    cache = weights_cache(os.environ)
    with _progress() as report:
        path = weights.fetch(cache, report)
    output.say(str(path))
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; say nothing in a pipe."""
    if not output.terminal():
        yield lambda done, total: None
        return
    columns = (TextColumn("the embedded model"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("fetch", total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield report
