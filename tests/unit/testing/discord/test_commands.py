"""What the loopback Discord takes and refuses of application commands: raw HTTP, each refusal with Discord's code."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.testing.discord.conftest import Reply, Stage, field_error

STRING, SUBCOMMAND = 3, 1


def command(name: Any = "npc", description: Any = "About the NPC", **fields: Any) -> dict[str, Any]:
    return {"name": name, "description": description, **fields}


def option(name: str = "mode", kind: int = STRING, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "description": "when it answers", **fields}


def path(stage: Stage) -> str:
    return f"/applications/{stage.bot.application_id}/commands"


async def put(stage: Stage, *commands: Any) -> Reply:
    return await stage.rest("PUT", path(stage), list(commands))


async def test_what_was_written_is_read_with_what_discord_adds(stage: Stage) -> None:
    assert (await stage.rest("GET", path(stage))).json == []
    mode = option(required=True, choices=[{"name": "always", "value": "always"}])
    written = await put(
        stage, command(options=[option("mode", SUBCOMMAND, options=[mode])], contexts=[1, 0]), command("whoami")
    )
    assert written.status == 200
    assert (await stage.rest("GET", path(stage))).json == written.json
    npc, whoami = written.json
    assert (npc["application_id"], npc["type"], npc["contexts"], npc["dm_permission"]) == (
        str(stage.bot.application_id),
        1,
        [0, 1],
        True,
    )
    assert npc["options"][0]["options"] == [
        {
            "type": STRING,
            "name": "mode",
            "name_localizations": None,
            "description": "when it answers",
            "description_localizations": None,
            "required": True,
            "choices": [{"name": "always", "value": "always", "name_localizations": None}],
        }
    ]
    assert "required" not in npc["options"][0]
    assert "options" not in whoami
    assert (whoami["contexts"], whoami["default_member_permissions"], whoami["nsfw"]) == ([0, 1, 2], None, False)
    assert stage.server.commands(stage.bot) == ["npc mode", "whoami"]


async def test_reads_and_writes_are_counted_and_refused_ones_are_not(stage: Stage) -> None:
    for _ in range(2):
        await put(stage, command())
    await put(stage, command("Npc"))
    await stage.rest("GET", path(stage))
    assert (stage.server.command_reads(stage.bot), stage.server.command_writes(stage.bot)) == (1, 2)


async def test_a_write_replaces_everything_and_a_name_keeps_its_id(stage: Stage) -> None:
    first, second = (await put(stage, command(), command("whoami"))).json
    (same,) = (await put(stage, command("whoami"))).json
    assert same == second
    npc, changed = (await put(stage, command(), command("whoami", "Who you are"))).json
    assert npc["id"] != first["id"]
    assert (changed["id"], changed["version"] != second["version"]) == (second["id"], True)


async def test_a_refused_write_changes_nothing(stage: Stage) -> None:
    await put(stage, command())
    assert (await put(stage, command("whoami"), command("No"))).status == 400
    assert stage.server.commands(stage.bot) == ["npc"]


async def test_without_a_token_or_for_another_application_nothing_is_read_or_written(stage: Stage) -> None:
    other = stage.server.add_bot("another-token", name="Another")
    for method, body in (("GET", None), ("PUT", [])):
        reply = await stage.rest(method, path(stage), body, headers={"Authorization": None})
        assert (reply.status, reply.json["code"]) == (401, 0)
        reply = await stage.rest(method, f"/applications/{other.application_id}/commands", body)
        assert (reply.status, reply.json["code"]) == (403, 20012)
    assert (stage.server.command_reads(other), stage.server.command_writes(other)) == (0, 0)


@pytest.mark.parametrize("name", ["x", "a" * 32, "-_'", "命令", "größe", "7"])
async def test_a_name_of_letters_and_digits_in_lower_case_is_taken(stage: Stage, name: str) -> None:
    assert (await put(stage, command(name))).status == 200
    assert (await put(stage, command(options=[option(name)]))).status == 200


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("Npc", "APPLICATION_COMMAND_INVALID_NAME"),
        ("two words", "APPLICATION_COMMAND_INVALID_NAME"),
        ("/npc", "APPLICATION_COMMAND_INVALID_NAME"),
        ("npc!", "APPLICATION_COMMAND_INVALID_NAME"),
        ("🎲", "APPLICATION_COMMAND_INVALID_NAME"),
        ("", "BASE_TYPE_BAD_LENGTH"),
        ("a" * 33, "BASE_TYPE_BAD_LENGTH"),
        (7, "STRING_TYPE_CONVERT"),
        (None, "BASE_TYPE_REQUIRED"),
    ],
)
async def test_a_name_that_discord_does_not_take_is_50035(stage: Stage, name: Any, error: str) -> None:
    assert field_error(await put(stage, command(name)), "0", "name") == error
    wrong = {**option(), "name": name}
    assert field_error(await put(stage, command(options=[wrong])), "0", "options", "0", "name") == error


@pytest.mark.parametrize(
    ("description", "error"),
    [
        ("", "BASE_TYPE_BAD_LENGTH"),
        ("x" * 101, "BASE_TYPE_BAD_LENGTH"),
        (None, "BASE_TYPE_REQUIRED"),
        (7, "STRING_TYPE_CONVERT"),
    ],
)
async def test_a_description_is_of_1_to_100_characters(stage: Stage, description: Any, error: str) -> None:
    assert field_error(await put(stage, command(description=description)), "0", "description") == error
    wrong = {**option(), "description": description}
    assert field_error(await put(stage, command(options=[wrong])), "0", "options", "0", "description") == error


CHOICE = {"name": "always", "value": "always"}


@pytest.mark.parametrize(
    ("options", "where", "error"),
    [
        ("none", (), "LIST_TYPE_CONVERT"),
        ([7], ("0",), "MODEL_TYPE_CONVERT"),
        ([option(f"o{n}") for n in range(26)], (), "BASE_TYPE_MAX_LENGTH"),
        ([option(), option()], (), "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS"),
        ([option("a"), option("b", required=True)], ("1",), "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID"),
        ([option("a"), option("b", SUBCOMMAND)], (), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID"),
        (
            [option("a", SUBCOMMAND, options=[option("b", SUBCOMMAND)])],
            ("0", "options", "0", "type"),
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
        ),
        ([option("a", SUBCOMMAND, required=True)], ("0",), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID"),
        ([option(options=[option("b")])], ("0", "options"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID"),
        ([option(required="yes")], ("0", "required"), "BOOLEAN_TYPE_CONVERT"),
        ([option(kind=4)], ("0", "type"), "LOOPBACK_NOT_MODELLED"),
        ([option(choices=7)], ("0", "choices"), "LIST_TYPE_CONVERT"),
        (
            [option(choices=[{"name": str(n), "value": str(n)} for n in range(26)])],
            ("0", "choices"),
            "BASE_TYPE_MAX_LENGTH",
        ),
        ([option(choices=[CHOICE, CHOICE])], ("0", "choices"), "APPLICATION_COMMAND_OPTIONS_CHOICES_DUPLICATE"),
        ([option(choices=[{**CHOICE, "value": ""}])], ("0", "choices", "0", "value"), "BASE_TYPE_BAD_LENGTH"),
        ([option(choices=[{**CHOICE, "name": "x" * 101}])], ("0", "choices", "0", "name"), "BASE_TYPE_BAD_LENGTH"),
        ([option(choices=[{"name": "always"}])], ("0", "choices", "0", "value"), "BASE_TYPE_REQUIRED"),
    ],
)
async def test_arguments_that_discord_does_not_take_are_50035(
    stage: Stage, options: Any, where: tuple[str, ...], error: str
) -> None:
    assert field_error(await put(stage, command(options=options)), "0", "options", *where) == error
    assert stage.server.commands(stage.bot) == []


@pytest.mark.parametrize(
    ("fields", "where", "error"),
    [
        ({"type": 2}, "type", "LOOPBACK_NOT_MODELLED"),
        ({"name_localizations": {"de": "nsc"}}, "name_localizations", "LOOPBACK_NOT_MODELLED"),
        ({"contexts": [0, 0]}, "contexts", "SET_TYPE_ALREADY_CONTAINS_VALUE"),
        ({"contexts": []}, "contexts", "SET_TYPE_ALREADY_CONTAINS_VALUE"),
        ({"contexts": [3]}, "contexts", "ENUM_TYPE_COERCE"),
    ],
)
async def test_fields_that_discord_does_not_take_are_50035(
    stage: Stage, fields: dict[str, Any], where: str, error: str
) -> None:
    assert field_error(await put(stage, command(**fields)), "0", where) == error


async def test_two_commands_of_one_name_are_50035(stage: Stage) -> None:
    assert field_error(await put(stage, command(), command())) == "APPLICATION_COMMANDS_DUPLICATE_NAME"


async def test_a_hundred_commands_are_taken_and_no_more(stage: Stage) -> None:
    commands = [command(f"c{number}") for number in range(101)]
    assert (await put(stage, *commands[:100])).status == 200
    reply = await put(stage, *commands)
    assert (reply.status, reply.json["code"]) == (400, 30032)


async def test_a_command_of_8000_characters_is_taken_and_no_more(stage: Stage) -> None:
    def sized(last: str) -> dict[str, Any]:
        # 79 choices of 100 characters; the names below fill up the rest.
        choices = [{"name": f"{number:02}", "value": "v" * 98} for number in range(79)]
        parts = [choices[:20], choices[20:40], choices[40:60], choices[60:]]
        options = [
            {"type": STRING, "name": n, "description": "d", "choices": part}
            for n, part in zip("abcd", parts, strict=True)
        ]
        return command("x", last, options=options)

    room = 8000 - 79 * 100 - 4 * 2 - 1
    assert (await put(stage, sized("d" * room))).status == 200
    assert field_error(await put(stage, sized("d" * (room + 1))), "0") == "APPLICATION_COMMAND_TOO_LARGE"


@pytest.mark.parametrize(("body", "error"), [({}, "LIST_TYPE_CONVERT"), ("npc", "LIST_TYPE_CONVERT")])
async def test_a_body_that_is_no_list_is_50035(stage: Stage, body: Any, error: str) -> None:
    assert field_error(await stage.rest("PUT", path(stage), body)) == error


async def test_a_list_of_no_commands_is_50035(stage: Stage) -> None:
    assert field_error(await put(stage, "npc"), "0") == "MODEL_TYPE_CONVERT"


async def test_a_body_that_is_no_json_is_50109(stage: Stage) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await stage.rest("PUT", path(stage), data="[", headers=headers)
    assert (reply.status, reply.json["code"]) == (400, 50109)
