"""Application commands: what a bot lets people complete after a `/`. Their state, their rules, their REST routes.

Owns the global commands of each application and what they may look like. Never gives one: that is `interactions.py`.
Source: Discord's "Application Commands". Not modelled: commands of one guild, routes of one command, subcommand groups,
options other than subcommands and strings, translations, permissions.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import regex
from aiohttp import web

from homunculus.testing.discord import refusals
from homunculus.testing.discord.forms import parse_json
from homunculus.testing.discord.refusals import Json, Refusal, invalid_form, refuse
from homunculus.testing.discord.rest import Answer, Call, Front
from homunculus.testing.discord.routes import json_body
from homunculus.testing.discord.world import Bot, Snowflakes

MOST_COMMANDS: Final = 100
MOST_OPTIONS = MOST_CHOICES = 25
LONGEST_DESCRIPTION = LONGEST_CHOICE = 100
LONGEST_COMMAND: Final = 8_000  # name, description and value characters of one command, its options and their choices
CHAT_INPUT, SUBCOMMAND, STRING = 1, 1, 3
GUILD, BOT_DM, PRIVATE_CHANNEL = 0, 1, 2  # contexts
_NAME: Final = regex.compile(r"[-_'\p{L}\p{N}\p{Script=Devanagari}\p{Script=Thai}]{1,32}")


class CommandRoutes:
    """Answer `/applications/{application_id}/commands`, and keep each application's commands and how often they were asked for."""

    # All the state of the commands; `reads` and `writes` count what was answered, by application.
    def __init__(self, front: Front, snowflakes: Snowflakes) -> None:
        self._front, self._snowflakes = front, snowflakes
        self.commands: dict[int, list[Json]] = {}
        self.reads: Counter[int] = Counter()
        self.writes: Counter[int] = Counter()

    def add_to(self, app: web.Application, prefix: str) -> None:
        template = "/applications/{application_id}/commands"
        for method, handler in (("GET", self.read), ("PUT", self.overwrite)):
            app.router.add_route(method, prefix + template, self._front.wrap(template, handler))

    async def read(self, call: Call) -> Answer:
        bot = _own(call)
        self.reads[bot.application_id] += 1
        return 200, self.of(bot)

    async def overwrite(self, call: Call) -> Answer:
        """Replace all; what keeps its name keeps its id."""
        bot = _own(call)
        commands = read_commands(parse_json(await json_body(call.request)))
        call.note({"commands": commands})
        old = {command["name"]: command for command in self.of(bot)}
        self.commands[bot.application_id] = [self._numbered(bot, one, old.get(one["name"])) for one in commands]
        self.writes[bot.application_id] += 1
        self._front.changed()
        return 200, self.commands[bot.application_id]

    def of(self, bot: Bot) -> list[Json]:
        """List the commands of a bot as Discord words them."""
        return self.commands.get(bot.application_id, [])

    def words(self, bot: Bot) -> list[str]:
        """List what people can complete: `npc status`, `whoami`."""
        return [
            " ".join(filter(None, (command["name"], inner)))
            for command in self.of(bot)
            for inner in [one["name"] for one in command.get("options", []) if one["type"] == SUBCOMMAND] or [""]
        ]

    def _numbered(self, bot: Bot, command: Json, old: Json | None) -> Json:
        if old is not None and {**old, "id": "", "version": ""} == {**_worded(bot, command), "id": "", "version": ""}:
            return old
        number = str(self._snowflakes.mint())
        return {**_worded(bot, command), "id": old["id"] if old else number, "version": number}


def _own(call: Call) -> Bot:
    if call.id("application_id") != call.bot.application_id:
        raise refuse(refusals.NOT_YOUR_APPLICATION)
    return call.bot


def _worded(bot: Bot, command: Json) -> Json:
    """Word a command as Discord gives it back: with everything that was left to its defaults."""
    return {
        "application_id": str(bot.application_id),
        "default_member_permissions": None,
        "type": CHAT_INPUT,
        "name": command["name"],
        "name_localizations": None,
        "description": command["description"],
        "description_localizations": None,
        "dm_permission": BOT_DM in command["contexts"],
        "contexts": command["contexts"],
        "integration_types": [0],
        "nsfw": False,
        **({"options": [_worded_option(one) for one in command["options"]]} if command["options"] else {}),
    }


def _worded_option(option: Json) -> Json:
    body: Json = {"type": option["type"], "name": option["name"], "name_localizations": None}
    body |= {"description": option["description"], "description_localizations": None}
    if option["required"]:
        body["required"] = True
    if option["choices"]:
        body["choices"] = [{**choice, "name_localizations": None} for choice in option["choices"]]
    if option["options"]:
        body["options"] = [_worded_option(one) for one in option["options"]]
    return body


# -- reading what a bot sends


def read_commands(body: Any) -> list[Json]:
    """Check the commands of a bulk overwrite, field by field."""
    if not isinstance(body, list):
        raise invalid_form("", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if len(body) > MOST_COMMANDS:
        raise refuse(refusals.TOO_MANY_COMMANDS)
    commands = [_read_command(one, str(index)) for index, one in enumerate(body)]
    _check_unique(commands, "", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
    return commands


def _read_command(body: Any, path: str) -> Json:
    _check_object(body, path)
    for key in ("name_localizations", "description_localizations", "default_member_permissions"):
        if body.get(key) is not None:
            raise _not_modelled(f"{path}.{key}")
    if body.get("type", CHAT_INPUT) != CHAT_INPUT:
        raise _not_modelled(f"{path}.type")
    command = {
        "name": _read_name(body.get("name"), f"{path}.name"),
        "description": _read_text(body.get("description"), f"{path}.description", LONGEST_DESCRIPTION),
        "contexts": _read_contexts(body.get("contexts"), f"{path}.contexts"),
        "options": _read_options(body.get("options"), f"{path}.options", nested=True),
    }
    if sum(map(len, _texts(command))) > LONGEST_COMMAND:
        text = f"Command exceeds maximum size ({LONGEST_COMMAND})"
        raise invalid_form(path, "APPLICATION_COMMAND_TOO_LARGE", text)
    return command


def _texts(part: Json) -> Iterator[str]:
    yield from (str(part.get(key, "")) for key in ("name", "description", "value"))
    for one in (*part.get("options", ()), *part.get("choices", ())):
        yield from _texts(one)


def _read_contexts(value: Any, path: str) -> list[int]:
    if value is None:
        return [GUILD, BOT_DM, PRIVATE_CHANNEL]
    if not isinstance(value, list) or not value or len(set(map(json.dumps, value))) != len(value):
        raise invalid_form(path, "SET_TYPE_ALREADY_CONTAINS_VALUE", "The set must not be empty and holds a value once.")
    if not all(type(one) is int and one in (GUILD, BOT_DM, PRIVATE_CHANNEL) for one in value):
        raise invalid_form(path, "ENUM_TYPE_COERCE", "Value is not a valid enum value.")
    return sorted(value)


def _read_options(value: Any, path: str, *, nested: bool) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid_form(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if len(value) > MOST_OPTIONS:
        raise invalid_form(path, "BASE_TYPE_MAX_LENGTH", f"Must be {MOST_OPTIONS} or fewer in length.")
    options = [_read_option(one, f"{path}.{index}", nested=nested) for index, one in enumerate(value)]
    if len({option["type"] for option in options}) > 1:
        text = "Sub-command and sub-command group option types are mutually exclusive to all other types"
        raise invalid_form(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", text)
    _check_unique(options, path, "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", "Option names must be unique")
    _check_order(options, path)
    return options


def _read_option(body: Any, path: str, *, nested: bool) -> Json:
    _check_object(body, path)
    kind = body.get("type")
    if kind not in (SUBCOMMAND, STRING):
        raise _not_modelled(f"{path}.type")
    if kind == SUBCOMMAND and not nested:
        text = "Sub-command option types are only allowed at the top level"
        raise invalid_form(f"{path}.type", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", text)
    option = {
        "type": kind,
        "name": _read_name(body.get("name"), f"{path}.name"),
        "description": _read_text(body.get("description"), f"{path}.description", LONGEST_DESCRIPTION),
        "required": body.get("required", False),
        "choices": _read_choices(body.get("choices"), f"{path}.choices"),
        "options": _read_options(body.get("options"), f"{path}.options", nested=False),
    }
    if not isinstance(option["required"], bool):
        raise invalid_form(f"{path}.required", "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
    if kind == SUBCOMMAND and (option["required"] or option["choices"]):
        text = "A sub-command is neither required nor one of several choices"
        raise invalid_form(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", text)
    if kind == STRING and option["options"]:
        text = "Options are for sub-commands alone"
        raise invalid_form(f"{path}.options", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", text)
    return option


def _check_order(options: list[Json], path: str) -> None:
    seen_optional = False
    for index, option in enumerate(options):
        if option["required"] and seen_optional:
            text = "Required options must be placed before non-required options"
            raise invalid_form(f"{path}.{index}", "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", text)
        seen_optional |= not option["required"]


def _read_choices(value: Any, path: str) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid_form(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if len(value) > MOST_CHOICES:
        raise invalid_form(path, "BASE_TYPE_MAX_LENGTH", f"Must be {MOST_CHOICES} or fewer in length.")
    choices = [_read_choice(one, f"{path}.{index}") for index, one in enumerate(value)]
    _check_unique(choices, path, "APPLICATION_COMMAND_OPTIONS_CHOICES_DUPLICATE", "Choice names must be unique")
    return choices


def _read_choice(body: Any, path: str) -> Json:
    _check_object(body, path)
    return {key: _read_text(body.get(key), f"{path}.{key}", LONGEST_CHOICE) for key in ("name", "value")}


def _read_name(value: Any, path: str) -> str:
    name = _read_text(value, path, 32)
    if not _NAME.fullmatch(name) or name != name.lower():
        text = "Command name is invalid"
        raise invalid_form(path, "APPLICATION_COMMAND_INVALID_NAME", text)
    return name


def _read_text(value: Any, path: str, longest: int) -> str:
    if value is None:
        raise invalid_form(path, "BASE_TYPE_REQUIRED", "This field is required")
    if not isinstance(value, str):
        raise invalid_form(path, "STRING_TYPE_CONVERT", "Could not interpret value as string.")
    if not 1 <= len(value.strip()) <= longest:
        raise invalid_form(path, "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {longest} in length.")
    return value.strip()


def _check_object(body: Any, path: str) -> None:
    if not isinstance(body, dict):
        raise invalid_form(path, "MODEL_TYPE_CONVERT", "Expected an object/dictionary.")


def _check_unique(parts: list[Json], path: str, code: str, text: str) -> None:
    if len({part["name"] for part in parts}) < len(parts):
        raise invalid_form(path, code, text)


def _not_modelled(path: str) -> Refusal:
    return invalid_form(path, "LOOPBACK_NOT_MODELLED", "this loopback server does not model it")
