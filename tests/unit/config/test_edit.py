"""A change touches its own characters alone; what cannot be changed alone is refused, and nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homunculus.config import source
from homunculus.config.edit import put, with_character, written_character
from homunculus.errors import ConfigError

FILE = """\
# yaml-language-server: $schema=../schemas/deployment.schema.json
version: 1   # the only one

agents:
  kovach-eod: # the veteran
    model: haiku
    character: 'kovach'   # was john
    greeting: true
  flow: {character: ana, model: default}
  anchored: &defaults
    character: ana
    model: default
  merged:
    <<: *defaults
    model: haiku
x-here: &here {character: john, memory_namespace: john-masks}
channels:
  - platform: discord
    channel_id: "1"
    character: john
    memory_namespace: john-masks
  - {platform: local, channel_id: b, agent_id: kovach-eod}
  - <<: *here
    platform: local
    channel_id: c
"""


def changed_lines(before: str, after: str) -> list[tuple[str, str]]:
    old, new = before.splitlines(), after.splitlines()
    assert len(old) == len(new)
    return [(a, b) for a, b in zip(old, new, strict=True) if a != b]


def recast(agent: str, character: str, text: str = FILE) -> str:
    return with_character(text.encode(), "camp.yaml", agent, character).decode()


def test_only_the_value_changes_and_keeps_its_quotation_marks() -> None:
    assert changed_lines(FILE, recast("kovach-eod", "mara")) == [
        ("    character: 'kovach'   # was john", "    character: 'mara'   # was john")
    ]
    assert changed_lines(FILE, recast("flow", "mara")) == [
        ("  flow: {character: ana, model: default}", "  flow: {character: mara, model: default}")
    ]
    assert changed_lines(FILE, recast("kovach-eod", "地精")) == [
        ("    character: 'kovach'   # was john", "    character: '地精'   # was john")
    ]


def test_a_value_that_came_through_an_anchor_is_written_where_it_is_to_hold() -> None:
    assert "  merged:\n    character: mara\n    <<: *defaults\n" in recast("merged", "mara")


def test_what_others_share_is_refused_and_named() -> None:
    with pytest.raises(ConfigError) as caught:
        recast("anchored", "mara")
    assert str(caught.value) == (
        "camp.yaml:11:5: agents.anchored.character: it cannot be changed without changing something else, "
        "as through a YAML anchor; change it by hand"
    )


def test_an_agent_written_in_place_is_changed_in_every_channel() -> None:
    after = recast("john-masks", "mara")
    assert after.count("character: mara") == 2
    data = source.read(after.encode(), "f").data
    assert [entry.get("character") for entry in data["channels"]] == ["mara", None, "mara"]
    assert data["x-here"]["character"] == "john"


def test_windows_line_breaks_and_a_byte_order_mark_stay() -> None:
    text = b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode()
    after = with_character(text, "f", "merged", "mara")
    assert after.startswith(b"\xef\xbb\xbf# yaml")
    assert after.replace(b"    character: mara\r\n", b"") == text


def test_an_agent_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match='there is no agent "nobody"'):
        recast("nobody", "mara")


def test_the_written_character_is_found_in_any_of_these_places() -> None:
    found = [written_character(FILE.encode(), agent) for agent in ("kovach-eod", "flow", "merged", "john-masks", "no")]
    assert found == ["kovach", "ana", "ana", "john", None]
    with pytest.raises(ConfigError):
        written_character(b"agents: [", "kovach-eod")
    assert written_character(b"7", "kovach-eod") is None


VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20),
    st.sampled_from(["null", "~", "yes", "1e3", "<<", "'", '"', "a: b", "a #b", "*x", "- a", "{", "ünï", "地精"]),
)
PLACES = st.sampled_from(
    [("agents", "kovach-eod", "character"), ("agents", "flow", "character"), ("agents", "flow", "respond"),
     ("agents", "merged", "character"), ("channels", 0, "character"), ("channels", 1, "channel_name"), ("bot_name",)]
)  # fmt: skip


@settings(max_examples=150)
@given(PLACES, VALUES)
def test_any_text_is_set_and_the_rest_stays_byte_for_byte(path: tuple[str | int, ...], value: str) -> None:
    after = put(FILE.encode(), "f", path, value).decode()
    found = source.read(after.encode(), "f").data
    for part in path:
        found = found[part]
    assert found == value
    # The change is one stretch: what stands before and after it are the file's own beginning and end.
    begin = next(i for i in range(len(FILE)) if FILE[i] != after[i : i + 1]) if after != FILE else len(FILE)
    rest = FILE[begin:]
    assert any(after.endswith(rest[skip:]) and skip < 40 for skip in range(len(rest) + 1))
