"""Who a message names and whom it may notify.

Owns the reading of `<@id>`, `<@&id>`, `@everyone` and of `allowed_mentions`. Never stores a message.
Source: Discord's "Allowed Mentions Object".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from homunculus.testing.discord.refusals import Refusal, invalid_form
from homunculus.testing.discord.world import Bot, Channel, User, World

_USER = re.compile(r"<@!?(\d{1,20})>")
_ROLE = re.compile(r"<@&(\d{1,20})>")
_EVERYONE = re.compile(r"@(?:everyone|here)\b")
_TYPES = frozenset({"users", "roles", "everyone"})


@dataclass(frozen=True, slots=True)
class Mentions:
    """What a message notifies: users (those of mentioned roles not among them), roles, everyone."""

    users: tuple[User, ...] = ()
    roles: tuple[int, ...] = ()
    everyone: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """The checked `allowed_mentions`: the types to parse, the ids allowed one by one, the replied user."""

    parse: frozenset[str] = _TYPES
    users: frozenset[int] = frozenset()
    roles: frozenset[int] = frozenset()
    replied_user: bool = True

    def admits(self, kind: str, one: int) -> bool:
        return kind in self.parse or one in (self.users if kind == "users" else self.roles)


def resolve(world: World, channel: Channel, content: str, allowed: Allowed, replied: User | None) -> Mentions:
    """Read the content's mentions, filtered by what is allowed; unknown ids are plain text."""
    named = [world.users[i] for i in _ids(_USER, content) if i in world.users and allowed.admits("users", i)]
    # A webhook has no account, so an answer to its post notifies nobody.
    if replied is not None and replied.id in world.users and allowed.replied_user:
        named.append(replied)
    guild = world.guilds.get(channel.guild_id or 0)
    known_roles = set(guild.roles.values()) if guild else set()
    roles = [i for i in _ids(_ROLE, content) if i in known_roles and allowed.admits("roles", i)]
    everyone = guild is not None and "everyone" in allowed.parse and bool(_EVERYONE.search(content))
    return Mentions(tuple(dict.fromkeys(named)), tuple(dict.fromkeys(roles)), everyone)


def may_ping_everyone(world: World, bot: Bot, channel: Channel, mentions: Mentions) -> Mentions:
    """Drop `@everyone` where the bot may not use it; Discord posts the text all the same."""
    allowed = mentions.everyone and world.may(bot, channel, "mention_everyone")
    return Mentions(mentions.users, mentions.roles, allowed)


def read_allowed(value: Any) -> Allowed:
    """Check `allowed_mentions`; absent or null allows everything that the content names."""
    if value is None:
        return Allowed()
    if not isinstance(value, dict):
        raise invalid_form("allowed_mentions", "MODEL_TYPE_CONVERT", "Expected an object/dictionary.")
    parse = value.get("parse") or []
    if not isinstance(parse, list) or not all(isinstance(kind, str) and kind in _TYPES for kind in parse):
        text = "Value must be one of ('users', 'roles', 'everyone')."
        raise invalid_form("allowed_mentions.parse", "BASE_TYPE_CHOICES", text)
    replied = value.get("replied_user", False)
    if not isinstance(replied, bool):
        raise invalid_form("allowed_mentions.replied_user", "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
    lists = {kind: _id_list(value, kind) for kind in ("users", "roles")}
    for kind, ids in lists.items():
        if ids and kind in parse:
            raise _exclusive(kind)
    return Allowed(frozenset(parse), lists["users"], lists["roles"], replied)


def _exclusive(kind: str) -> Refusal:
    text = f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.'
    return invalid_form("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", text)


def _id_list(value: dict[str, Any], kind: str) -> frozenset[int]:
    path, ids = f"allowed_mentions.{kind}", value.get(kind) or []
    if not isinstance(ids, list):
        raise invalid_form(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if len(ids) > 100:
        raise invalid_form(path, "BASE_TYPE_MAX_LENGTH", "Must be 100 or fewer in length.")
    return frozenset(snowflake(one, f"{path}.{index}") for index, one in enumerate(ids))


def snowflake(value: Any, path: str) -> int:
    """Read an id from the wire: a string of digits, or the integer discord.py still sends in places."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,20}", text, re.ASCII) or int(text) >= 1 << 64:
        raise invalid_form(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not snowflake.')
    return int(text)


def _ids(pattern: re.Pattern[str], content: str) -> list[int]:
    return [int(found) for found in pattern.findall(content)]
