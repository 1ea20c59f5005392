"""`homunculus send`: say something through a running server, as a bot itself."""

from __future__ import annotations

from pathlib import Path

from homunculus.cli import output
from homunculus.cli.inspect import server_for
from homunculus.errors import NotReady

_SECONDS = 120.0  # a platform that limits how often one may write is waited for


def send(file: Path, adapter: str, target: str, text: str, as_json: bool) -> int:
    """Print the platform's ids of what was said. Raise NotReady without a server, or as the API answers."""
    server = server_for(file)
    if server is None:
        raise NotReady(f"no server runs for {file}; start one with: homunculus serve {file}")
    answer = server.post("/api/broadcast", {"adapter": adapter, "target": target, "text": text}, timeout=_SECONDS)
    if as_json:
        output.show_json(answer)
    else:
        output.say(f"sent through {adapter}: {', '.join(answer['ids'])}")
    return 0
