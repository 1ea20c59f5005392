"""Promises that hold for any file: ids survive, positions are right, nothing but ConfigErrors leaves the loader, no leaks."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homunculus.config import Loaded
from homunculus.config.source import read
from homunculus.errors import ConfigError, ConfigErrors
from tests.unit.config.world import ENVIRON, loader, populate

LOADER = loader()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    populate(folder)
    return folder


def load(home: Path, content: str | bytes, load: Callable[..., Loaded] = LOADER, **files: str) -> Loaded:
    """Load a text that never touches the disk; `files` are its neighbours."""
    file = home / "campaign.yaml"
    known = {file: content.encode() if isinstance(content, str) else content}
    known |= {home / name: text.encode() for name, text in files.items()}
    return load(file, lambda path: known[path] if path in known else path.read_bytes())


# --- ids ------------------------------------------------------------------------------------------------------------

integers = st.one_of(st.integers(), st.integers(10**15, 10**25), st.integers(2**53 - 3, 2**53 + 3))


@given(ids=st.lists(integers, min_size=5, max_size=5, unique=True))
@example(ids=[1471514033478828123, 2**53 + 1, -100222222222, 10**40, 0])
def test_every_integer_id_becomes_its_decimal_string(home: Path, ids: list[int]) -> None:
    channel, guild, user, chat, binding = ids
    found = load(
        home,
        f"""
version: 1
messaging:
  discord: {{token: env:T1, authority: [{user}], allow_bot_messages: [{guild}], dm_allowed_users: [{chat}]}}
  telegram: {{token: env:T2}}
agents: {{{abs(binding)}: {{character: kovach}}}}
default_agent: {abs(binding)}
channels:
  - {{platform: discord, channel_id: {channel}, agent_id: {abs(binding)}}}
bindings:
  - {{channel: discord, guild_id: {guild}, channel_ids: [{channel}, "{user}"], id: {binding}, agent_id: "{abs(binding)}"}}
  - {{channel: telegram, chat_id: {chat}, agent_id: {abs(binding)}, authority: [{user}]}}
""",
    ).deployment
    discord = found.adapter("discord")
    assert discord is not None
    assert discord.authority == (str(user),)
    assert discord.allow_bot_messages == (str(guild),)
    assert discord.dm_allowed_users == (str(chat),)
    assert found.agents[0].id == found.default_agent == str(abs(binding))
    (_, in_channel, in_guild, in_chat) = found.bindings
    assert in_channel.channel_ids == (str(channel),)
    assert (in_guild.guild_id, in_guild.channel_ids, in_guild.id) == (
        str(guild),
        (str(channel), str(user)),
        str(binding),
    )
    assert (in_chat.chat_id, in_chat.authority) == (str(chat), (str(user),))


# --- positions ------------------------------------------------------------------------------------------------------

words = st.text(st.sampled_from(string.ascii_letters + "赵铁柱é😀_-"), min_size=1, max_size=6).map("w".__add__)
scalars = st.one_of(words, st.integers(), st.booleans(), st.text(string.printable[:95], max_size=8))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=25,
)
Places = dict[tuple[str | int, ...], tuple[int, int]]


class Writer:
    """Writes YAML, choosing layout by `choose`, and notes where each key and value begins."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self.choose = choose
        self.lines = [""]
        self.keys: Places = {}
        self.values: Places = {}

    def place(self) -> tuple[int, int]:
        return len(self.lines), len(self.lines[-1]) + 1

    def put(self, text: str) -> None:
        self.lines[-1] += text

    def newline(self, indent: int) -> None:
        for _ in range(self.choose(2)):
            self.lines.append("# a note: [x")
        self.lines.append(" " * indent)

    def scalar(self, value: Any) -> None:
        quoted = json.dumps(value, ensure_ascii=False)
        self.put(str(value) if isinstance(value, str) and value[:1] == "w" and self.choose(2) else quoted)

    def flow(self, value: Any, path: tuple[str | int, ...]) -> None:
        self.values[path] = self.place()
        if isinstance(value, dict):
            self.put("{")
            for index, (key, inner) in enumerate(value.items()):
                self.put(", " if index else "")
                self.keys[*path, key] = self.place()
                self.scalar(key)
                self.put(": " + " " * self.choose(3))
                self.flow(inner, (*path, key))
            self.put("}")
        elif isinstance(value, list):
            self.put("[")
            for index, inner in enumerate(value):
                self.put("," + " " * (1 + self.choose(2)) if index else "")
                self.keys[*path, index] = self.place()
                self.flow(inner, (*path, index))
            self.put("]")
        else:
            self.scalar(value)

    def block(self, value: Any, path: tuple[str | int, ...], indent: int) -> None:
        """Write at the present place, which is `indent` characters into a line."""
        if not isinstance(value, dict | list) or not value or self.choose(3) == 0:
            self.flow(value, path)
            return
        self.values[path] = self.place()
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for index, (key, inner) in enumerate(entries):
            if index:
                self.newline(indent)
            if isinstance(value, list):
                self.put("- ")
                self.keys[*path, key] = self.place()
                self.block(inner, (*path, key), indent + 2)
                continue
            self.keys[*path, key] = self.place()
            self.scalar(key)
            self.put(":")
            if isinstance(inner, dict | list) and inner and self.choose(2):
                deeper = indent + 1 + self.choose(4)
                self.newline(deeper)
                self.block(inner, (*path, key), deeper)
            else:
                self.put(" ")
                self.flow(inner, (*path, key))


@settings(max_examples=200)
@given(tree=trees, choices=st.randoms(use_true_random=False), ends=st.sampled_from(["\n", "\r\n"]), mark=st.booleans())
def test_every_key_and_value_is_placed_where_it_was_written(tree: Any, choices: Any, ends: str, mark: bool) -> None:
    writer = Writer(choices.randrange)
    writer.block(tree, (), 0)
    text = ("\ufeff" if mark else "") + ends.join(writer.lines) + ends
    source = read(text.encode(), "f.yaml")
    assert source.faults == ()
    assert source.data == tree
    for path, (line, column) in writer.values.items():
        if path:
            assert (source.value(path).line, source.value(path).column) == (line, column), (path, text)
    for path, (line, column) in writer.keys.items():
        assert (source.key(path).line, source.key(path).column) == (line, column), (path, text)


# --- anything at all ------------------------------------------------------------------------------------------------

SEED = """version: 1
x-defaults: &defaults {respond: always, stream: true}
server: {port: 8420, token: env:API}
messaging:
  discord:
    token: %s
    authority: [1, "2"]
    instances:
      - {name: keeper, token: env:T1, dm_allowed_users: "*"}
  twitch: {oauth_token: env:T2, channels: [a, b]}
models:
  haiku: {provider: openai, api_key: %s, fallback: [default]}
  default: {provider: scripted, replies: [{when: "(a|b)+", say: hi}]}
memory: {extract_with: haiku}
agents:
  kovach: {<<: *defaults, character: kovach, model: haiku}
  john:
    character: john   # 约翰
    skill_ruleset: coc7e
channels:
  - {platform: discord, channel_id: 1471514033478828123, agent_id: kovach}
  - {platform: discord, adapter: keeper, channel_id: 5, character: ana, memory_namespace: ana}
bindings:
  - channel: discord
    adapter: keeper
    agent_id: john
    dm_allowed_users: [7]
"""
PIECES = (
    *(
        "[",
        "]",
        "{",
        "}",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\t",
        "#",
        "&a ",
        "*a",
        "*defaults",
        "<<: ",
        "!!int ",
        "!x ",
        "'",
        '"',
    ),
    *(
        "|\n",
        ">\n",
        "? ",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "\\",
        "\0",
        "\ufeff",
        "\u2028",
        "\x85",
        "\r",
        "null",
        "1e999",
        ".nan",
    ),
    *(
        "x-",
        "version",
        "agents",
        "instances: 5",
        "default",
        "env:",
        "file:",
        "file:/dev/null",
        "~",
        "../",
        "/",
        ".yaml",
        "😀",
    ),
    *(
        '"\\ud800"',
        '"\\0"',
        "true",
        "-1",
        "999999999999999999999",
        "0x",
        "0o8",
        "赵",
        "@",
        "`",
        ",",
        " ",
        "\n- ",
        "\n\n",
    ),
)
tokens = st.from_regex(r"[A-Za-z]{4}[0-9]{4}[A-Za-z0-9]{16,40}", fullmatch=True)


@st.composite
def mutations(draw: st.DrawFn) -> list[tuple[str, float, float, str]]:
    one = st.tuples(
        st.sampled_from(("insert", "insert", "cut", "repeat", "move")),
        st.floats(0, 1),
        st.floats(0, 0.1),
        st.sampled_from(PIECES),
    )
    return draw(st.lists(one, min_size=1, max_size=6))


def mutate(text: str, steps: list[tuple[str, float, float, str]]) -> str:
    for kind, at, length, piece in steps:
        start = int(at * len(text))
        end = start + int(length * len(text))
        if kind == "insert":
            text = text[:start] + piece + text[start:]
        elif kind == "cut":
            text = text[:start] + text[end:]
        elif kind == "repeat":
            text = text[:end] + text[start:end] + text[end:]
        else:
            text = text[:start] + text[end:] + text[start:end]
    return text


def attempt(home: Path, content: str | bytes, **more: Any) -> tuple[Loaded | None, tuple[ConfigError, ...]]:
    """Load; return what came of it and every finding. Anything but ConfigErrors fails the test."""
    try:
        loaded = load(home, content, **more)
    except ConfigErrors as errors:
        refused = errors
    else:
        return loaded, loaded.warnings
    assert refused.errors
    assert {home / "campaign.yaml", home / ".env"} <= refused.watched
    return None, (*refused.errors, *refused.warnings)


def assert_well_placed(found: tuple[ConfigError, ...], text: str, home: Path) -> None:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n")
    for error in found:
        assert "\n" not in str(error)
        assert str(error).encode()
        if error.where.file == str(home / "campaign.yaml"):
            breaks = sum(lines.count(sign) for sign in "\n\r\x85\u2028\u2029")
            assert 1 <= error.where.line <= breaks + 1
            assert 1 <= error.where.column <= len(text) + 1


@settings(max_examples=150)
@given(steps=mutations())
def test_a_mangled_file_is_read_or_refused_with_places(home: Path, steps: list[tuple[str, float, float, str]]) -> None:
    text = mutate(SEED % ("env:T3", "env:T4"), steps)
    _, found = attempt(home, text)
    assert_well_placed(found, text, home)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(home: Path, content: bytes) -> None:
    attempt(home, content)
    attempt(home, b"version: 1\n" + content)


@settings(max_examples=200)
@given(
    value=trees,
    section=st.sampled_from(["server", "messaging", "models", "memory", "agents", "channels", "rules", "tests"]),
)
def test_any_value_in_any_section_is_resolved_or_refused(home: Path, value: Any, section: str) -> None:
    text = f"version: 1\n{section}: {json.dumps(value, ensure_ascii=False)}\n"
    _, found = attempt(home, text)
    assert_well_placed(found, text, home)


KEYS = ["discord", "token", "instances", "name", "default", "provider", "character", "kovach", "platform", "channel_id"]
KEYS += [
    "agent_id",
    "memory_namespace",
    "adapter",
    "channel",
    "fallback",
    "replies",
    "when",
    "authority",
    "x-a",
    "local",
]
likely = st.recursive(
    st.one_of(
        st.sampled_from([*KEYS, "env:T1", "*", "", "off", "scripted"]), st.integers(-1, 3), st.booleans(), st.none()
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=20,
)


@settings(max_examples=200)
@given(
    values=st.dictionaries(
        st.sampled_from(["messaging", "models", "agents", "channels", "bindings", "default_agent"]), likely
    )
)
def test_nearly_right_files_are_resolved_or_refused(home: Path, values: dict[str, Any]) -> None:
    text = json.dumps({"version": 1, **values})
    _, found = attempt(home, text)
    assert_well_placed(found, text, home)


@settings(max_examples=120)
@given(literal=tokens, resolved=tokens, steps=st.one_of(st.just([]), mutations()))
def test_no_secret_reaches_a_message_or_a_repr(
    home: Path, literal: str, resolved: str, steps: list[tuple[str, float, float, str]]
) -> None:
    text = mutate(SEED % (literal, "env:KEY"), steps)
    known = loader({**ENVIRON, "KEY": resolved})
    loaded, found = attempt(home, text, load=known, **{".env": f"API={resolved}x\n"})
    shown = "\n".join([*map(str, found), *map(repr, found)])
    if loaded is not None:
        shown += repr(loaded) + repr(loaded.deployment.adapters) + repr(loaded.deployment.models)
    assert literal not in shown
    assert resolved not in shown
