"""The fast readers say what the reference readers say, or leave the text to them. The reference is the oracle here."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from homunculus.config import Loaded, reader, source, verdict
from homunculus.config.load import Loader
from homunculus.config.ordinary import is_ordinary
from homunculus.config.places import Places
from homunculus.config.reader import read_fast
from homunculus.config.schema import checker, deployment_schema
from homunculus.config.source import MAX_BYTES, MAX_DEPTH
from homunculus.errors import ConfigErrors
from tests.unit.config.test_limits import HOSTILE
from tests.unit.config.test_properties import SEED, likely, mutate, mutations
from tests.unit.config.world import BACKENDS, ENVIRON, PLATFORMS, PROVIDERS, RULESETS, populate

FAST = Loader(PLATFORMS, PROVIDERS, BACKENDS, RULESETS, ENVIRON)
REFERENCE = replace(FAST, fast=False)
Path_ = tuple[str | int, ...]


def alike(one: Any, other: Any) -> bool:
    """Compare as `==` does, but tell 1 from 1.0 and from true, and orders of keys apart."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def paths(data: Any, path: Path_ = ()) -> Iterator[Path_]:
    yield path
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield from paths(value, (*path, key))


def assert_alike_or_declined(text: str) -> bool:
    """Fail if the fast reader accepts what the reference refuses, or says anything else; tell whether it accepted."""
    fast = read_fast(text.encode(), "f")
    if fast is None:
        return False
    known = source.read(text.encode(), "f")
    assert known.faults == ()
    assert alike(fast.data, known.data), (fast.data, known.data)
    assert fast.text == known.text
    for path in paths(known.data):
        assert (fast.key(path), fast.value(path)) == (known.key(path), known.value(path))
        assert fast.value((*path, "nowhere")) == known.value((*path, "nowhere"))
    assert isinstance(fast.find, Places)
    assert fast.find._reference is None, "a place cost a second reading"
    return True


# --- scalars --------------------------------------------------------------------------------------------------------

ODD = [
    *(
        "010",
        "0o10",
        "0O10",
        "0b1",
        "0x1F",
        "0X1f",
        "+0x1",
        "-0o7",
        "1e3",
        "1E3",
        "1e+3",
        "1.5e3",
        "1_000",
        "_1",
        "1_",
        "+5",
        "-5",
        "-0",
        "00",
        "08",
        "0",
        "+.5",
        ".5",
        "-.5",
        "1.",
        "1.0",
        "1.50",
        "-0.25",
    ),
    *(
        ".inf",
        "-.INF",
        "+.inf",
        ".iNf",
        ".nan",
        ".NaN",
        "-.nan",
        "inf",
        "nan",
        "Infinity",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "Yes",
        "NO",
        "On",
        "null",
        "Null",
        "NULL",
        "nULL",
        "~",
        "true",
        "True",
    ),
    *(
        "TRUE",
        "tRUE",
        "false",
        "False",
        "2026-11-22",
        "2026-11-22T10:00:00Z",
        "12:30:45",
        "1:30",
        "190:20:30",
        "1.2.3",
        "1-2",
        "3d6",
        "1a",
        "0xg",
        "0o8",
        "=",
        "<<",
        "<<x",
    ),
    *(
        "999999999999999999",
        "9999999999999999999",
        "-999999999999999999",
        "-9999999999999999999",
        "9007199254740993.5",
        "1234567890.5",
    ),
]
MANY_DIGITS = ["1" * 5000, "-" + "1" * 400, "0x" + "f" * 5000, "1." + "1" * 400, "1.0000000000000000001"]


def small_scalars() -> Iterator[str]:
    """Yield every text of up to four signs that numbers, constants and separators are made of."""
    for length in range(1, 5):
        yield from map("".join, itertools.product("019_.eExob+-:~a ,", repeat=length))


def test_every_small_scalar_is_read_alike_or_declined() -> None:
    values = [*ODD, *MANY_DIGITS, *small_scalars()]
    accepted = [value for value in values if is_ordinary(f"k: {value}\n")]
    lines = "".join(f"k{index}: {value}\n" for index, value in enumerate(accepted))
    assert len(accepted) > 1000
    fast, known = read_fast(lines.encode(), "f"), source.read(lines.encode(), "f")
    assert fast is not None
    assert known.faults == ()
    assert alike(fast.data, known.data)
    assert not {
        "1_000",
        "0o10",
        "1e3",
        "1.0",
        "0b1",
        ".inf",
        "+5",
        "_1",
        "<<",
        "9" * 20,
        "-" + "9" * 19,
        "1" * 5000,
    } & set(accepted)
    assert {"010", "yes", "off", "null", "~", "2026-11-22", "12:30:45", "-5", "-0.25"} <= set(accepted)


@pytest.mark.parametrize(
    "write", ["a: [{}]\n", "a: [x, {}, y]\n", "a: {{k: {}}}\n", "a: {{k: {}, l: 1}}\n", "a:\n- {}\n"]
)
def test_every_small_scalar_is_read_alike_within_brackets_and_lists(write: str) -> None:
    values = [*ODD, *MANY_DIGITS, *itertools.islice(small_scalars(), 5000)]
    accepted = [text for text in map(write.format, values) if read_fast(text.encode(), "f")]
    assert len(accepted) > 100
    lines = "".join(f"k{index}:\n" + textwrap.indent(value, "  ") for index, value in enumerate(accepted))
    fast = read_fast(lines.encode(), "f")
    assert fast is not None
    assert alike(fast.data, source.read(lines.encode(), "f").data)


# --- whole texts ----------------------------------------------------------------------------------------------------

WORDS = [
    "a",
    "b c",
    "env:T1",
    "it's",
    "it''s",
    "x#y",
    "http://h:80/?q=1#f",
    "Lantern & Oar",
    "{{user}}: hi",
    "陈 掌柜",
    "-a",
]
SCALARS = [
    *(
        *ODD,
        *WORDS,
        "a: b",
        "a #c",
        "a:",
        ":a",
        "x,y",
        "x]",
        "[x",
        "a\tb",
        "a  b ",
        "“q”",
        "../x",
        "~/x",
        "(a|b)",
        "*a",
    ),
    *(
        '""',
        "''",
        '"a: b # c"',
        "'it''s'",
        '"\\n\\"\\\\"',
        '"\\u00e9"',
        '"\\a\\e"',
        '"\\x41"',
        '"\\ud800"',
        '"\\q"',
        '"a',
        "'a' b",
        "&a x",
        "!x",
        "!!str 1",
        "? a",
        "- a",
    ),
    *(
        "[]",
        "{}",
        "[1, 2]",
        "[a, ]",
        "{a: 1, b: [x, 'y']}",
        "[{a: b}, {c: ~}]",
        "[a: b]",
        "{a}",
        "[a,b]",
        '{"a":1}',
        "[a",
    ),
    *(
        "[[1, [2]]]",
        "{a: {b: {c: 1}}}",
        "[a:b, c]",
        "{k: env:T1}",
        "[a, #b",
        "[1:, 2]",
        "|",
        "|-",
        ">",
        ">-",
        "|+",
        "|2",
    ),
]
KEYS = [
    "a",
    "b",
    "c",
    "x-d",
    "Library Use",
    "Language (Latin)",
    '"q"',
    "'s'",
    "键",
    "1",
    "null",
    "true",
    "yes",
    "<<",
    "a:b",
    "TRUE",
    "Null",
    "False",
    "x y z",
    '"<<"',
]
ENDS = st.sampled_from([""] * 6 + [" ", " # c", "# c", "  # c: d"])


keys = st.one_of(st.sampled_from(KEYS[:9]), st.sampled_from(KEYS))
scalars = st.one_of(st.sampled_from([*WORDS[:7], "5", '"q"', "[a, 1]", "{k: v}", "true"]), st.sampled_from(SCALARS))


@st.composite
def lines(draw: st.DrawFn) -> str:
    """Write one line: mostly well formed, anywhere."""
    indent = " " * draw(st.sampled_from([0, 0, 0, 2, 2, 2, 4, 4, 6, 1, 3]))
    key, scalar = draw(keys), draw(scalars)
    shapes = (
        ["{k}: {s}"] * 3
        + ["{k}:"] * 3
        + ["- {k}: {s}"] * 2
        + ["- {k}:", "- {s}", "{s}", "{k}:{s}", "-  {s}", "# {s}", ""]
    )
    return indent + draw(st.sampled_from(shapes)).format(k=key, s=scalar) + draw(ENDS)


@st.composite
def blocks(draw: st.DrawFn, indent: int = 0, depth: int = 0) -> list[str]:
    """Write one block collection: well formed but for a line that may be indented differently."""
    found: list[str] = []
    dash = draw(st.booleans()) if depth else False
    for key in draw(st.lists(keys, min_size=1, max_size=3, unique=draw(st.integers(0, 9)) > 0)):
        here = " " * max(0, indent + draw(st.sampled_from([0] * 60 + [1, -1])))
        begin, within = (f"{here}- {key}:", indent + 2) if dash else (f"{here}{key}:", indent)
        kind = draw(st.integers(0, 9))
        if kind < 5 or depth == 4:
            found.append(f"{begin} {draw(scalars)}{draw(ENDS)}")
        elif kind == 5:
            deeper = " " * (within + draw(st.integers(0, 3)))
            body = [
                f"{deeper}{word}" if word else ""
                for word in draw(st.lists(st.sampled_from([*WORDS, "", "  x", "a: b", "# c"]), max_size=4))
            ]
            found += [f"{begin} {draw(st.sampled_from(['|', '>', '|-', '>-']))}", *body]
        else:
            found.append(begin + draw(ENDS))
            found += draw(blocks(within + draw(st.sampled_from([2, 2, 2, 1, 4, 0])), depth + 1))
        if dash and draw(st.booleans()):
            found.append(" " * within + f"z: {draw(scalars)}")
    return found


texts = st.tuples(
    st.one_of(st.lists(lines(), max_size=7), blocks()), st.sampled_from(["\n"] * 8 + ["\r\n", "\r"]), st.integers(0, 9)
)


@settings(max_examples=800)
@given(written=texts)
@example(written=(["a: [1:, 2]"], "\n", 1))  # ruamel reads "1:", others a pair
@example(written=(["a: 1", '"a": 2'], "\n", 1))
@example(written=(["a: b", "", "  - c"], "\n", 1))  # one scalar of three lines
@example(written=(["a: |", "  x"], "\n", 0))  # no newline at the end
@example(written=(["- a: 1", "   b: 2"], "\n", 1))
@example(written=(["\ufeffa: 1"], "\n", 1))
def test_any_text_is_read_alike_with_equal_places_or_declined(written: tuple[list[str], str, int]) -> None:
    parts, newline, end = written
    text = newline.join(parts) + (newline if end else "")
    event("accepted" if assert_alike_or_declined(text) else "declined")


EXAMPLES = sorted(Path(__file__).parents[3].glob("characters/*.yaml")) + sorted(
    Path(__file__).parents[3].glob("deployments/*.yaml")
)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_shipped_examples_take_the_fast_way(file: Path) -> None:
    assert assert_alike_or_declined(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_do_not_slow_a_file_down(newline: str, end: str, mark: str) -> None:
    assert assert_alike_or_declined(
        mark + newline.join(["a:", "  - b: 1 # c", "    d: [x, y]"]) + end.replace("\n", newline)
    )


# --- whole deployments ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    populate(folder)
    return folder


def result(load: Loader, home: Path, text: str) -> Any:
    """Load a text; return everything that can be seen of what came of it."""
    file = home / "campaign.yaml"
    try:
        found = load(file, lambda path: text.encode() if path == file else path.read_bytes())
    except ConfigErrors as errors:
        return [*map(str, errors.errors)], [*map(str, errors.warnings)], errors.watched
    one = found.deployment
    specs: tuple[Any, ...] = (*one.adapters, *one.models, *one.agents, *one.bindings)
    places = [spec.path for spec in specs]
    return one, one.digest, one.text, one.watched, places, [(w.where, w.message, w.hint) for w in found.warnings]


ORDINARY = SEED.replace("&defaults {", "{").replace("{<<: *defaults, ", "{").replace("%s", "env:T%s") % (3, 4)


def test_the_seed_without_its_merge_key_takes_the_fast_way(home: Path) -> None:
    assert read_fast(ORDINARY.encode(), "f") is not None
    assert result(FAST, home, ORDINARY) == result(REFERENCE, home, ORDINARY)


@settings(max_examples=100)
@given(seed=st.sampled_from([ORDINARY, SEED % ("env:T3", "a-literal")]), steps=st.one_of(st.just([]), mutations()))
def test_a_mangled_deployment_loads_alike(home: Path, seed: str, steps: list[tuple[str, float, float, str]]) -> None:
    text = mutate(seed, steps)
    event("ordinary" if read_fast(text.encode(), "f") else "unusual")
    assert result(FAST, home, text) == result(REFERENCE, home, text)


PLAUSIBLE = [
    "kovach",
    "john",
    "ana",
    "discord",
    "twitch",
    "keeper",
    "default",
    "env:T1",
    "env:UNSET",
    "5",
    '"5"',
    "off",
    "true",
    "*a",
]
PLAUSIBLE += [
    "1471514033478828123",
    "[7]",
    '"*"',
    "[a, b]",
    "{}",
    "x-a",
    "0.5",
    "1.0",
    "010",
    "~",
    "",
    "always",
    "haiku",
    "scripted",
]
PLAUSIBLE += [
    "{platform: discord, channel_id: 5, agent_id: john}",
    "{channel: discord, agent_id: john, channel_ids: [5, 6]}",
]


@settings(max_examples=250)
@given(data=st.data())
def test_an_edited_deployment_loads_alike(home: Path, data: st.DataObject) -> None:
    written = ORDINARY.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(1, len(written) - 1))
        begin = re.match(r" *(- )?([\w-]+:)?(?= |$)", written[at])
        edit = data.draw(st.sampled_from(["value", "value", "repeat", "drop", "swap"]))
        if edit == "value" and begin:
            written[at] = f"{begin[0]} {data.draw(st.sampled_from(PLAUSIBLE))}"
        elif edit == "repeat":
            written.insert(at, written[at])
        elif edit == "swap":
            written[at - 1], written[at] = written[at], written[at - 1]
        elif edit == "drop":
            del written[at]
    text = "\n".join(written) + "\n"
    fast = result(FAST, home, text)
    event(f"ordinary {read_fast(text.encode(), 'f') is not None}, loads {len(fast) == 6}")
    assert fast == result(REFERENCE, home, text)


def block(value: Any, indent: int = 0) -> str:
    """Write data in block style."""
    pad = " " * indent
    if isinstance(value, dict) and value:
        return "".join(f"\n{pad}{key}:{block(inner, indent + 2)}" for key, inner in value.items())
    if isinstance(value, list) and value:
        return "".join(f"\n{pad}- {json.dumps(inner)}" for inner in value)
    return f" {json.dumps(value)}"


@settings(max_examples=200)
@given(
    values=st.dictionaries(
        st.sampled_from(["messaging", "models", "agents", "channels", "bindings", "default_agent", "server", "memory"]),
        likely,
    )
)
def test_a_nearly_right_deployment_loads_alike(home: Path, values: dict[str, Any]) -> None:
    text = f"version: 1{block(values)}\n"
    assert result(FAST, home, text) == result(REFERENCE, home, text)


numbers = st.one_of(
    st.integers(-(10**18) + 1, 10**19 - 1),
    st.sampled_from([0, 1, -1, 10**19 - 1, 1 - 10**18, 8420, 65535, 65536, 0.5, 1.5, -0.25, 2.000001]),
    st.sampled_from(
        ["", "x", "a b", "off", "x" * 64, "env:", "env:A B", "file:", "https://h/", "https:// h", "*", "*\n", "é"]
    ),
    st.booleans(),
    st.none(),
)
SCHEMA = deployment_schema(PLATFORMS, PROVIDERS, BACKENDS)
SETTINGS = {
    "server": ["port", "host", "enabled", "token", "allowed_hosts"],
    "memory": ["top_k", "embeddings", "extract_with", "backend", "qmd"],
    "log_level": [],
    "bot_name": [],
    "version": [],
}
MODEL = [
    "provider",
    "temperature",
    "max_tokens",
    "timeout_seconds",
    "concurrency",
    "base_url",
    "fallback",
    "budget",
    "replies",
]


@settings(max_examples=400)
@given(data=st.data())
def test_the_quick_verdict_is_never_kinder_than_the_reference(data: st.DataObject) -> None:
    value = st.one_of(
        numbers, st.lists(numbers, max_size=2), st.dictionaries(st.sampled_from(["x-a", "when", "say"]), numbers)
    )
    found: dict[str, Any] = {"version": 1}
    section = data.draw(st.sampled_from([*SETTINGS, "models", "agents", "channels", "bindings", "messaging"]))
    keys = SETTINGS.get(section, MODEL)
    if section in ("models", "agents"):
        keys = (
            MODEL
            if section == "models"
            else ["character", "respond", "history_size", "token_budget", "stream", "model"]
        )
        found[section] = {
            data.draw(st.sampled_from(["a", "A b", "x-a", "off"])): data.draw(
                st.dictionaries(st.sampled_from(keys), value)
            )
        }
    elif section in ("channels", "bindings"):
        keys = [
            "platform",
            "channel",
            "channel_id",
            "channel_ids",
            "agent_id",
            "adapter",
            "require_mention",
            "dm_allowed_users",
        ]
        found[section] = [data.draw(st.dictionaries(st.sampled_from(keys), value))]
    elif section == "messaging":
        keys = ["token", "instances", "authority", "persona", "api_base", "allow_bot_messages", "bot_token", "enabled"]
        found[section] = {
            data.draw(st.sampled_from(["discord", "telegram", "slack", "local"])): data.draw(
                st.dictionaries(st.sampled_from(keys), value)
            )
        }
    else:
        found[section] = data.draw(st.dictionaries(st.sampled_from(keys), value)) if keys else data.draw(value)
    accepted, wrong = verdict.verdict(SCHEMA)(found), [*checker(SCHEMA)(found)]
    event(f"accepted {accepted}, right {not wrong}")
    assert accepted == (not wrong)


# --- limits, and machines without wheels ----------------------------------------------------------------------------

ASK = textwrap.dedent("""
    import sys
    from pathlib import Path
    from homunculus.config.reader import read_fast
    from tests.cpu import within
    read_fast(b"a: 1", "f")
    for name in sys.argv[1:]:
        content = Path(name).read_bytes()
        found = within(0.5, lambda: read_fast(content, "f"))
        print("declined" if found is None else "accepted", flush=True)
""")
HOSTILE_HERE = {
    **{name: text for name, (text, _) in HOSTILE.items()},
    "as many open brackets on a line as fit": "a: [" + "x, " * 100_000 + "\n",
    "nested open brackets": "a: [[" + "{k: x}, " * 50_000 + "\n",
    "an endless key": "a" * 1_000_000 + ": 1\n",
    "words that never end in a colon": "a: " + "b " * 500_000 + ": c\n",
    "quotes that never close": "a: " + "'' " * 300_000 + "\n",
    "comments before a deeper line": "a: b\n" + "# c\n" * 200_000 + "  - c\n",
    "blank lines before deeper lines": "a: b\n\n\n\n  c: d\n" * 100_000,
    "33 columns of indentation": "".join(f"{' ' * n}a:\n" for n in range(34)),
}


def test_the_fast_reader_declines_hostile_texts_at_once(tmp_path: Path) -> None:
    for index, text in enumerate(HOSTILE_HERE.values()):
        (tmp_path / f"{index:02}").write_text(text)
    ask = [sys.executable, "-c", ASK, *sorted(map(str, tmp_path.iterdir()))]
    ran = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False)
    said = dict(zip(HOSTILE_HERE, ran.stdout.splitlines(), strict=False))
    assert list(said) == list(HOSTILE_HERE), f"the first one missing ended the process: {ran.stderr}"
    assert {name: answer for name, answer in said.items() if answer != "declined"} == {}


def test_4_mib_take_the_fast_way_and_a_byte_more_does_not() -> None:
    line = b"a: 1\n#"
    assert read_fast(line + b"x" * (MAX_BYTES - len(line)), "f") is not None
    assert read_fast(line + b"x" * (MAX_BYTES - len(line) + 1), "f") is None


def height(data: Any) -> int:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else None
    return 0 if inner is None else 1 + max(map(height, inner), default=0)


@pytest.mark.parametrize("step", ["{0}a:\n{0}- b: 1\n", "{0}a:\n"], ids=["lists and mappings", "mappings"])
def test_no_ordinary_text_is_deeper_than_the_limit(step: str) -> None:
    width = 2 if "-" in step else 1
    deepest = 0
    for levels in range(1, 40):
        text = "".join(
            step.format(" " * width * level).replace(" 1\n", "\n" if level + 1 < levels else " [{k: 1}]\n")
            for level in range(levels)
        )
        text += "" if "-" in step else " " * levels + "b: [{k: 1}]\n"
        if (found := read_fast(text.encode(), "f")) is not None:
            deepest = max(deepest, height(found.data))
    assert 20 < deepest <= MAX_DEPTH


def test_without_the_fast_libraries_everything_loads_as_before(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = result(REFERENCE, home, ORDINARY)
    monkeypatch.setattr(verdict, "_compiled", None)
    assert result(replace(FAST), home, ORDINARY) == known
    monkeypatch.setattr(reader, "_loads", None)
    assert result(replace(FAST), home, ORDINARY) == known
    assert reader.read(b"a: 1", "f").data == {"a": 1}


def test_a_valid_file_never_wakes_the_reference_reader(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("the reference reader was asked")

    monkeypatch.setattr(source, "read", never)
    text = ORDINARY.replace("T2", "UNSET")  # a standing warning must not cost it either
    loaded: Loaded = replace(FAST)(
        home / "campaign.yaml", lambda path: text.encode() if path.name == "campaign.yaml" else path.read_bytes()
    )
    assert [warning.where.line for warning in loaded.warnings if "UNSET" in warning.message] == [10]
