"""Talks to a running server through its API, from the command line. Owns one connection a call and no behaviour."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from homunculus.errors import ConfigError, ConfigErrors, HomunculusError, NotReady, Refused, Uncertain, Where
from homunculus.runtime.lock import RunFile, RunInfo
from homunculus.runtime.lock import running as running_here


@dataclass(frozen=True, slots=True)
class Server:
    """One running server, found through its run file."""

    info: RunInfo

    def get(self, path: str, timeout: float = 10.0) -> Any:
        """Ask the API; return the answer. Raise NotReady when nobody answers, Refused with the server's own words."""
        return self._call("GET", path, None, timeout)

    def post(self, path: str, body: dict[str, Any], timeout: float = 10.0) -> Any:
        """Send JSON to the API; otherwise like `get`."""
        return self._call("POST", path, body, timeout)

    def _call(self, method: str, path: str, body: dict[str, Any] | None, timeout: float) -> Any:
        address = urlsplit(self.info.address)
        connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=timeout)
        headers = {"Authorization": f"Bearer {self.info.key}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            payload = json.loads(response.read() or b"null")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NotReady(f"the server at {self.info.address} does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise _fault(payload, response.status)
        return payload


def _fault(payload: Any, status: int) -> HomunculusError:
    error = payload.get("error", {}) if isinstance(payload, dict) else {}
    details = tuple(_detail(detail) for detail in error.get("details", ()) if detail.get("location"))
    if details:
        return ConfigErrors(details)
    message = str(error.get("message", f"the server answered {status}"))
    match error.get("code"):
        case "not_ready":
            return NotReady(message)
        case "uncertain":
            return Uncertain(message)
        case _:
            return Refused(message)


def _detail(detail: dict[str, str]) -> ConfigError:
    file, line, column = str(detail.get("location", "")).rsplit(":", 2)
    where = Where(file, int(line), int(column), detail.get("path", ""))
    return ConfigError(where, detail.get("message", ""), detail.get("hint", ""))


def server_of(data_home: Path, bot_name: str) -> Server | None:
    """Return the running server of a bot, or None. Raise Refused when it runs without a web server."""
    info = RunFile(data_home, bot_name).read()
    if info is not None and not info.address:
        raise Refused(
            f"process {info.pid} runs {bot_name} without a web server; server.enabled: true lets commands ask it"
        )
    return Server(info) if info is not None else None


def servers(data_home: Path) -> tuple[Server, ...]:
    """Return every server that runs with a data home."""
    return tuple(Server(info) for info in running_here(data_home) if info.address)


def local_path(chat: str) -> str:
    """Return the API path of a local place."""
    return f"/api/local/{quote(chat, safe='@')}/messages"
