"""`homunculus status`: what runs here, from the running servers themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from homunculus.cli import output
from homunculus.cli.client import Server, servers
from homunculus.cli.inspect import server_for
from homunculus.config.identity import DATA_HOME
from homunculus.errors import NotReady, Refused

_SHOWN = 60  # characters of an uncertain post
_GAPS = "nothing was learned from {failed} turns that failed and {left_out} that were left out; the log says why"


def status(file: Path | None, as_json: bool) -> int:
    """Print the state of the server of FILE, or of all that run here; no server is exit code 3."""
    found = [server] if file is not None and (server := server_for(file)) else []
    if file is None:
        found = list(servers(Path(DATA_HOME).expanduser()))
    if not found:
        output.note(f"no server runs for {file}" if file is not None else "no server runs here")
        return 3
    answers = [(server, _asked(server)) for server in found]
    if as_json:
        shown = [answer for _, answer in answers]
        output.show_json(shown[0] if file is not None else shown)
    else:
        for server, answer in answers:
            _show(server, answer)
    return 3 if any("fault" in answer for _, answer in answers) else 0


def _asked(server: Server) -> dict[str, Any]:
    """Return a server's own answer; one that does not answer is a row, not the end of the list."""
    try:
        answer: dict[str, Any] = server.get("/api/status")
        answer["sign_in_link"] = server.post("/api/sign-in-link", {})["url"]
    except (Refused, NotReady) as error:
        return {"bot_name": server.info.bot_name, "file": str(server.info.file), "fault": error.reason}
    return answer


def _show(server: Server, answer: dict[str, Any]) -> None:
    if "fault" in answer:
        output.show_table(
            answer["file"], ("", "name", "state", "more"), [("bot", answer["bot_name"], "failed", answer["fault"])]
        )
        return
    equal = "running = file" if answer["running_equals_file"] else "running != file"
    about = f"generation {answer['generation']}, {server.info.address}, process {server.info.pid}"
    rows = [("bot", answer["bot_name"], equal, about)]
    rows += [("adapter", a["runtime_key"], a["state"], _more(a)) for a in answer["adapters"]]
    if answer["state_fault"]:
        rows.append(("state", "-", "failed", answer["state_fault"]))
    if any(answer["memory"].values()):
        rows.append(("memory", "-", "gaps", _GAPS.format(**answer["memory"])))
    rows += [_used(used) for used in answer["usage"]["models"] if used["calls"] or used["spent"]]
    rows += [("agent", agent["id"], agent["card"]["name"], f"model {agent['model']}") for agent in answer["agents"]]
    output.show_table(f"homunculus {answer['version']} · {answer['file']}", ("", "name", "state", "more"), rows)
    for unsure in answer["uncertain"]:
        output.say(_unsure(unsure), "yellow")
    for error in answer["errors"]:
        path = f"{error['path']}: " if error["path"] else ""
        hint = f"; {error['hint']}" if error["hint"] else ""
        output.say(f"{error['location']}: {path}{error['message']}{hint}", "bold red")
    if answer["sign_in_link"]:
        output.say(f"Open {answer['sign_in_link']}", "bold")


def _more(adapter: dict[str, Any]) -> str:
    """Say why an instance is not ready, or what cannot work though it is."""
    unseen = [f"it cannot see {', '.join(adapter['unseen'])}"] if adapter["unseen"] else []
    return "; ".join((*filter(None, (adapter["reason"],)), *unseen, *adapter["hindrances"]))


def _used(used: dict[str, Any]) -> tuple[str, str, str, str]:
    """Say what a model was used for today, against its budget."""
    tokens = _of(f"{used['tokens_in'] + used['tokens_out']:,}", used["tokens_per_day"], ",")
    about = "about " if used["estimated"] else ""
    cost = [f"cost {_of(format(used['cost'], '.4g'), used['cost_per_day'], 'g')}"] if used["priced"] else []
    parts = (f"{used['calls']} calls today", f"{about}{tokens} tokens", *cost, *filter(None, [used["spent"]]))
    return ("model", used["model"], "rests" if used["spent"] else "in use", ", ".join(parts))


def _of(amount: str, limit: float | None, style: str) -> str:
    return amount if limit is None else f"{amount} of {limit:{style}}"


def _unsure(unsure: dict[str, Any]) -> str:
    """Say which post to look for, and where; it is never sent again."""
    said = " ".join(unsure["text"].split())
    text = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
    return (
        f'uncertain: {unsure["author"]} in {unsure["conversation"]}: "{text}" may not have arrived: {unsure["reason"]}'
    )
