"""Slack's text format, both ways."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.adapters.slack.text import LIMIT, bold, escaped, mentions, named, readable

SIGNS = st.sampled_from("<>&;|@!#^altmpgU0B: \n长🙂")
USERS, CHANNELS = {"U0ANA": "Ana", "U0BOT": "Keeper"}, {"C0TAV": "tavern"}


@pytest.mark.parametrize(
    ("wire", "shown"),
    [
        ("hello <@U0ANA>", "hello @Ana"),
        ("hello <@U0ANA|ana.b>", "hello @ana.b"),
        ("hello <@U0WHO>", "hello @someone"),
        ("in <#C0TAV> and <#C0TAV|> and <#C0X|attic>", "in #tavern and #tavern and #attic"),
        ("<!here> <!channel> <!subteam^S01|@keepers> <!subteam^S01>", "@here @channel @keepers @a-group"),
        ("<!date^1392734382^{date}|yesterday>", "yesterday"),
        ("see <https://example.org/a?b&amp;c>", "see https://example.org/a?b&c"),
        ("see <https://example.org|the map>", "see the map (https://example.org)"),
        ("see <http://example.org|example.org>", "see example.org"),
        ("write <mailto:a@b.c|a@b.c>", "write a@b.c"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
        ("&amp;lt;", "&lt;"),
        ("&lt;@U0ANA&gt;", "<@U0ANA>"),
        ("<@U0BOT> what is <here>?", "what is here?"),
        ("<@U0BOT>: <@U0BOT>, hi <@U0BOT> you <@U0BOT>", "hi @Keeper you"),
        ("", ""),
    ],
)
def test_marks_are_read_as_people_see_them(wire: str, shown: str) -> None:
    assert readable(wire, "U0BOT", USERS, CHANNELS) == shown


def test_who_is_named_without_a_name_is_found() -> None:
    assert named("<@U1> <@U2|two> <#C1> <#C2|c> <#C3|>") == (frozenset({"U1"}), frozenset({"C1", "C3"}))


@pytest.mark.parametrize(
    ("wire", "found"), [("a <@U0BOT> b", True), ("<@U0BOT|k>", True), ("U0BOT &lt;@U0BOT&gt;", False)]
)
def test_a_mention_is_one_wherever_it_stands(wire: str, found: bool) -> None:
    assert mentions(wire, "U0BOT") is found


@given(st.text(alphabet=SIGNS, max_size=80))
def test_what_we_say_holds_no_mark_and_is_read_as_it_was_meant(said: str) -> None:
    sent = escaped(said)
    assert not re.search("[<>]", sent)
    assert html.unescape(re.sub("&(?!(amp|lt|gt);)", "&amp;", sent)) == said
    assert readable(sent, "", {}, {}) == said


@given(st.text(alphabet="<>&alt;mp长", min_size=0, max_size=LIMIT))
def test_escaping_never_makes_a_text_too_long_nor_lets_a_mark_through(said: str) -> None:
    sent = escaped(said)
    assert len(sent) <= max(LIMIT, len(said))
    assert "<" not in sent


def test_the_worst_text_still_fits_and_is_readable() -> None:
    assert len(escaped("<" * LIMIT)) == LIMIT
    assert escaped("a < b" * 800) == "a ⟨ b" * 800
    assert escaped("x && y" * 600) == "x && y" * 600
    assert escaped("&lt;" * 1000) == "＆lt;" * 1000


def test_a_name_in_bold_has_no_signs_of_its_own() -> None:
    assert bold("Kovach") == "*Kovach:*"
    assert bold("*The* `Man`\n<!here>") == "*The Man &lt;!here&gt;:*"


@given(st.text(alphabet=SIGNS, max_size=80))
def test_any_text_of_a_stranger_can_be_read(wire: str) -> None:
    readable(wire, "U0BOT", USERS, CHANNELS)
