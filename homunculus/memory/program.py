"""Runs the `qmd` program for one namespace. Owns its processes: each in a group of its own, and none outlives its call.

Every namespace has its own XDG pair, so that no index is shared; the models are, through one link.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from homunculus.errors import NotReady, Refused
from homunculus.model import QmdSpec

COLLECTION = "mem"
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SystemRoot")  # no secret of this process reaches a child
_INSTALL = "npm install -g @tobilu/qmd (Node 22 or newer) adds it, memory.qmd.binary names another place"
_UP_SECONDS = 10.0

Lines = Sequence[tuple[str, str]]  # ("lex" or "vec", text)


def shared_models() -> Path:
    """Return where `qmd pull` puts the models of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qmd" / "models"


class Qmd:
    """The program as one namespace calls it. Raises Refused when it is not installed, NotReady when it fails."""

    def __init__(self, folder: Path, spec: QmdSpec) -> None:
        self.facts = folder / "facts"
        self._config, self._cache, self._spec = folder / "xdg-config", folder / "xdg-cache", spec
        self._daemon: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None
        self._port = 0

    def prepare(self) -> None:
        """Make the folders and the link to the models."""
        for path in (self.facts, self._config, self._cache / "qmd"):
            path.mkdir(parents=True, exist_ok=True)
        link = self._cache / "qmd" / "models"
        if not link.exists() and not link.is_symlink():
            link.symlink_to(shared_models(), target_is_directory=True)

    @property
    def has_models(self) -> bool:
        """Tell whether it can search by meaning: without models it would hang in a download."""
        return any((self._cache / "qmd" / "models").glob("*.gguf"))

    @property
    def registered(self) -> bool:
        """Tell whether it knows the folder of facts; before that it has nothing to find."""
        try:
            kept = (self._config / "qmd" / "index.yml").read_text("utf-8")
        except OSError:
            return False
        return re.search(rf"^\s+{COLLECTION}:", kept, re.MULTILINE) is not None

    async def update(self) -> None:
        """Index the folder of facts, registering it first where it never was; embed where there are models."""
        seconds = self._spec.update_timeout_seconds
        if not self.registered:
            await self.run("collection", "add", str(self.facts), "--name", COLLECTION, seconds=seconds)
        else:
            await self.run("update", seconds=seconds)
        if self.has_models:
            await self.run("embed", seconds=seconds)

    async def query(self, lines: Lines, limit: int) -> list[str]:
        """Return the names of the files that fit, best first: by `query`, else by `search`."""
        spec = self._spec
        try:
            if spec.daemon:
                return _names(await self._ask_daemon(lines, limit))
            text = "\n".join(f"{kind}: {words}" for kind, words in lines)
            wanted: tuple[str, ...] = ("query", "--json", "--no-rerank", "-n", str(limit), "-c", COLLECTION, text)
            return _names(_json(await self.run(*wanted, seconds=spec.query_timeout_seconds)))
        except NotReady:
            words = next(words for kind, words in lines if kind == "lex")
            wanted = ("search", "--json", "-n", str(limit), "-c", COLLECTION, words)
            return _names(_json(await self.run(*wanted, seconds=spec.fallback_timeout_seconds)))

    async def run(self, *arguments: str, seconds: float) -> str:
        """Run one command to its end; return what it printed. Its whole group is killed when time is up or nobody waits."""
        process = await self._start(*arguments)
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate()
        except TimeoutError as error:
            raise NotReady(f"qmd {arguments[0]} took longer than {seconds:g} s") from error
        finally:
            await _end(process)
        if process.returncode:
            last = err.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            raise NotReady(f"qmd {arguments[0]} failed: {last[0][:200]}")
        return out.decode("utf-8", "replace")

    async def aclose(self) -> None:
        """End the daemon. Safe twice."""
        daemon, self._daemon = self._daemon, None
        drain, self._drain = self._drain, None
        if daemon is not None:
            await _end(daemon)
        if drain is not None:
            await drain

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        environment |= {"XDG_CONFIG_HOME": str(self._config), "XDG_CACHE_HOME": str(self._cache), "NO_COLOR": "1"}
        try:
            return await asyncio.create_subprocess_exec(
                *(self._spec.binary, *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                cwd=self.facts,
                start_new_session=True,
            )
        except OSError as error:
            raise Refused(f"{self._spec.binary} cannot be run: {error.strerror}; {_INSTALL}") from error

    async def _ask_daemon(self, lines: Lines, limit: int) -> Any:
        if self._daemon is None or self._daemon.returncode is not None:
            await self._raise_daemon()
        searches = [{"type": kind, "query": words} for kind, words in lines]
        body = {"searches": searches, "rerank": False, "limit": limit, "collections": [COLLECTION]}
        return await asyncio.to_thread(_post, self._port, body, self._spec.query_timeout_seconds)

    async def _raise_daemon(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        daemon = await self._start("mcp", "--http", "--port", str(self._port))
        self._daemon = daemon
        try:
            async with asyncio.timeout(_UP_SECONDS):
                assert daemon.stderr is not None
                while b"listening" not in (line := await daemon.stderr.readline()):
                    if not line:
                        raise NotReady("the qmd daemon ended at once")
        except BaseException as error:
            await self.aclose()
            if isinstance(error, TimeoutError):
                raise NotReady(f"the qmd daemon was not up within {_UP_SECONDS:g} s") from error
            raise
        self._drain = asyncio.create_task(_drained(daemon), name="what the qmd daemon says")


async def _drained(process: asyncio.subprocess.Process) -> None:
    """Read what a daemon logs, so that it never waits for a reader."""
    assert process.stdout is not None
    assert process.stderr is not None
    streams = (process.stdout, process.stderr)
    await asyncio.gather(*(_thrown_away(stream) for stream in streams))


async def _thrown_away(stream: asyncio.StreamReader) -> None:
    while await stream.read(65_536):
        continue


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a process and everything that it started, and wait for its end."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(process.wait())


def _post(port: int, body: dict[str, Any], seconds: float) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST", "/query", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read(8 << 20)
        if response.status != 200:
            raise NotReady(f"the qmd daemon answered {response.status}")
        return _json(answer.decode("utf-8", "replace")).get("results")
    except (OSError, http.client.HTTPException, AttributeError) as error:
        raise NotReady(f"the qmd daemon does not answer: {error}") from error
    finally:
        connection.close()


def _json(text: str) -> Any:
    try:
        return json.loads(text or "[]")
    except ValueError as error:
        raise NotReady("qmd printed something that is no JSON") from error


def _names(found: Any) -> list[str]:
    if not isinstance(found, list):
        raise NotReady("qmd printed JSON of another shape")
    try:
        return [str(item["file"]).rpartition("/")[2].removesuffix(".md") for item in found]
    except (TypeError, KeyError) as error:
        raise NotReady("qmd printed JSON of another shape") from error
