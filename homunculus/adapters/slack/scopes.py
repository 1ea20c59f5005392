"""What an app may do: its scopes, the abilities that follow from them, and what a person should know is missing. Pure."""

from __future__ import annotations

from homunculus.adapters.slack.faults import APPS
from homunculus.adapters.slack.posting import CUSTOMIZE
from homunculus.errors import Refused

_PREFIXES = {
    "bot_token": ("xoxb-", "the Bot User OAuth Token under OAuth & Permissions"),
    "app_token": ("xapp-", "an App-Level Token with the scope connections:write under Basic Information"),
}
_KINDS = ("channels", "groups", "im", "mpim")
# Scope → what does not work without it.
_NEEDED = {
    "chat:write": "it cannot write at all",
    "channels:history": "it hears nothing in public channels but mentions",
    "groups:history": "it hears nothing in private channels but mentions",
    "im:history": "it hears no direct messages",
    "mpim:history": "it hears nothing in group direct messages but mentions",
    "channels:read": "status cannot tell which public channels it is in",
    "groups:read": "status cannot tell which private channels it is in",
    "users:read": "people appear by their ids instead of their names",
    "app_mentions:read": "a mention is heard only where it hears everything",
    "reactions:write": "it cannot put a check mark on what it is going to answer",
    CUSTOMIZE: "NPCs have no name and picture of their own",
}


def check_token(instance: str, key: str, token: str) -> None:
    """Raise Refused for what cannot be a token of that kind."""
    prefix, where = _PREFIXES[key]
    if not token.startswith(prefix) or not token.isascii() or not token.isprintable() or " " in token:
        raise Refused(f"the {key} of {instance} does not begin with {prefix}; take {where} at {APPS}")


def abilities(scopes: frozenset[str]) -> frozenset[str]:
    """Return what a bot with these scopes can do besides sending."""
    found = {"edit", "private"} if "chat:write" in scopes else set()
    found |= {"react"} if "reactions:write" in scopes else set()
    found |= {"history"} if any(f"{kind}:history" in scopes for kind in _KINDS) else set()
    found |= {"persona"} if CUSTOMIZE in scopes else set()
    return frozenset(found)


def hindrances(scopes: frozenset[str]) -> tuple[str, ...]:
    """Say what each missing scope costs, and where to add it."""
    return tuple(
        f"the Slack app lacks the scope {scope}: {cost}; add it under OAuth & Permissions at {APPS} and reinstall the app"
        for scope, cost in _NEEDED.items()
        if scope not in scopes
    )
