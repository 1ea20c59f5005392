"""The lorebook does what its specifications say. The table's expectations were written from them, before the engine.

V2 is malfoyslastname/character-card-spec-v2 (spec_v2.md), V3 is kwaroran/character-card-spec-v3 (SPEC_V3.md), "ours" is
what the program promises where those leave a choice.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homunculus.characters.decorators import Decorators, split_decorators
from homunculus.characters.lorebook import select
from homunculus.characters.macros import expand
from homunculus.characters.matching import Matcher
from homunculus.model import Knowledge, Lore, LoreAtDepth, Lorebook
from tests.cpu import within

EXPAND = functools.partial(expand, char="Kovach", user="Ana", random=random.Random(1))
RECURSIVE = Lorebook(recursive_scanning=True)


def entry(content: str = "yes", *keys: str, **more: Any) -> Knowledge:
    return Knowledge(keys or ("cellar",), content, **more)


def words(text: str) -> int:
    return len(text.split())


def chosen(
    entries: list[Knowledge] | Knowledge,
    *messages: str,
    book: Lorebook | None = None,
    spoken: int = 0,
    budget: int | None = None,
    count: Callable[[str], int] = words,
) -> Lore:
    listed = [entries] if isinstance(entries, Knowledge) else entries
    messages = messages or ("We go to the cellar.",)
    return select(book or Lorebook(), listed, messages, spoken=spoken, count=count, expand=EXPAND, budget=budget)


def texts(lore: Lore) -> list[str]:
    """List everything that was chosen, in the order of a prompt."""
    inside = [*lore.before_char, *lore.after_char, *lore.personality, *lore.scenario]
    return inside + [one.text for one in lore.at_depth]


# --- the table ------------------------------------------------------------------------------------------------------

SAID = "We go to the cellar."
KEYS = [
    # a key, what was said, whether it comes up, where that is written
    ("cellar", "We go to the cellar.", True, "V2 keys"),
    ("cellar", "We go upstairs.", False, "V2 keys"),
    ("Cellar", "the CELLAR!", True, "ours: plain keys ignore case"),
    ("cellar", "the cellars", False, "ours: one word is a whole word"),
    ("cellar", "wine-cellar", True, "ours: a hyphen is a border"),
    ("cellar", "wine_cellar", False, "ours: an underscore is a letter"),
    ("cellar", "cellar2", False, "ours: a digit is a letter"),
    ("cellar", "(cellar)", True, "ours: punctuation is a border"),
    ("cellar", "Kellercellarü", False, "ours: the left border is missing"),
    ("caf", "café", True, "ours: borders are ASCII"),
    ("地窖", "我们去地窖里看看", True, "ours: Chinese keys match inside text"),
    ("酒馆", "我们去地窖里看看", False, "V2 keys"),
    ("old cellar", "the old cellars", True, "ours: a phrase is a substring"),
    ("old cellar", "the old  cellar", False, "ours: a phrase is a substring, as written"),
    ("Old Cellar", "THE OLD CELLAR", True, "ours: phrases ignore case"),
    ("C++", "we speak C++ here", True, "ours: borders only where the key has letters"),
    ("C++", "we speak abC++ here", False, "ours: the left border is missing"),
    ("Straße", "STRASSE", True, "ours: case-folding"),
    ("José", "Jose\u0301", True, "ours: normal form"),
    ("  cellar ", "the cellar", True, "ours: outer blanks are no part of a key"),
    ("", "anything", False, "ours: an empty key never matches"),
    (" ", "a b", False, "ours: an empty key never matches"),
    ("/cellars?/", "the cellars", True, "ours: /re/"),
    ("/Cellar/", "the cellar", False, "ours: a pattern minds case"),
    ("/Cellar/i", "the cellar", True, "ours: /re/flags"),
    ("/^cellar$/m", "the\ncellar\nhere", True, "ours: /re/flags"),
    ("/the.cellar/s", "the\ncellar", True, "ours: /re/flags"),
    ("/the.cellar/", "the\ncellar", False, "ours: /re/flags"),
    ("/cellar/gu", "the cellar", True, "ours: flags of JavaScript that change nothing"),
    ("/cellar/z", "the cellar", False, "V3: an invalid pattern never matches"),
    ("/(cellar/", "the (cellar", False, "V3: an invalid pattern never matches"),
    ("/a\\/b/", "a/b", True, "ours: an escaped slash"),
    ("and/or", "and/or", True, "ours: a slash inside is no pattern"),
]


@pytest.mark.parametrize(("key", "said", "expected", "source"), KEYS)
def test_a_key_comes_up(key: str, said: str, expected: bool, source: str) -> None:
    assert bool(texts(chosen(entry("yes", key), said))) is expected, source


CASES = [
    # an entry, whether it comes up when SAID is said, where that is written
    (entry(enabled=False), False, "V2 enabled"),
    (entry("yes", "x", constant=True), True, "V2 constant"),
    (entry("yes", "x", constant=True, enabled=False), False, "V3 enabled: in no case"),
    (entry(selective=True, secondary_keys=("go",)), True, "V2 selective: a key of both"),
    (entry(selective=True, secondary_keys=("stay",)), False, "V2 selective: a key of both"),
    (entry(selective=True, secondary_keys=("stay", "go")), True, "V2 selective: any of them"),
    (entry("yes", "x", selective=True, secondary_keys=("go",)), False, "V2 selective: a key of both"),
    (entry(selective=False, secondary_keys=("stay",)), True, "V2 secondary_keys: ignored if selective is false"),
    (entry(selective=True), True, "ours: selective without secondary keys asks for nothing"),
    (entry("yes", "CELLAR", case_sensitive=True), False, "V3 case_sensitive"),
    (entry("yes", "cellar", case_sensitive=True), True, "V3 case_sensitive"),
    (entry("yes", "CELLAR", case_sensitive=False), True, "V3 case_sensitive"),
    (entry("yes", "cell.r", use_regex=True), True, "V3 use_regex"),
    (entry("yes", "cell.r"), False, "V3 use_regex: only then"),
    (entry("yes", "c(", use_regex=True), False, "V3 use_regex: an invalid pattern never matches"),
    (entry("yes", "CELL.R", use_regex=True), True, "ours: case is ignored unless case_sensitive"),
    (entry("yes", "CELL.R", use_regex=True, case_sensitive=True), False, "ours: case is ignored unless case_sensitive"),
    (entry("yes", "/CELL.R/i", use_regex=True), True, "ours: /re/flags under use_regex"),
    (entry("yes", "x", use_regex=True, constant=True), True, "ours: constant counts for patterns too"),
    (entry(scope="gm"), False, "ours: gm never reaches a prompt"),
    (entry("yes", "x", scope="gm", constant=True), False, "ours: gm never reaches a prompt"),
    (entry("@@activate\nyes", scope="gm"), False, "ours: gm never reaches a prompt"),
    (entry(scope="public"), True, "ours: public is known to it too"),
    (entry(""), False, "V3 content: an empty one adds nothing"),
    (entry("@@depth 2"), False, "V3 content: an empty one adds nothing"),
    (entry("{{// only a note}}"), False, "V3 content: an empty one adds nothing"),
    (entry("yes", "stay", "cellar"), True, "V3 keys: one of them"),
    (entry("@@activate\nyes", "x"), True, "V3 activate"),
    (entry("@@activate\nyes", "x", enabled=False), False, "V3 enabled: in no case"),
    (entry("@@dont_activate\nyes"), False, "V3 dont_activate"),
    (entry("@@dont_activate\nyes", constant=True), False, "V3 dont_activate: in no case"),
    (entry("@@dont_activate\n@@activate\nyes"), True, "V3 dont_activate: ignored beside activate"),
    (entry("@@additional_keys go, run\nyes"), True, "V3 additional_keys: one of them too"),
    (entry("@@additional_keys run\nyes"), False, "V3 additional_keys"),
    (
        entry("@@additional_keys run\nyes", "x", constant=True),
        False,
        "V3 constant: if the decorators' conditions are met",
    ),
    (entry("@@exclude_keys go\nyes"), False, "V3 exclude_keys"),
    (entry("@@exclude_keys run\nyes"), True, "V3 exclude_keys"),
    (entry("@@exclude_keys run,go\nyes", constant=True), False, "V3 exclude_keys: one of them"),
    (entry("@@exclude_keys go\n@@activate\nyes"), True, "V3 activate: in any case"),
    (entry("@@exclude_keys GO\nyes", case_sensitive=True), True, "V3 case_sensitive counts for decorators' keys"),
    (entry("@@scan_depth 0\nyes"), False, "V3 scan_depth of the entry"),
    (entry("@@activate_only_after 3\nyes"), False, "V3 activate_only_after"),
    (entry("@@activate_only_every 2\nyes"), True, "V3 activate_only_every: 0 has no remainder"),
    (entry("@@unheard_of 3\nyes"), True, "V3: an unknown decorator is ignored"),
    (entry("@@depth deep\nyes"), True, "V3: a wrong value is ignored"),
    (entry("@@unheard_of\n@@@dont_activate\nyes"), False, "V3 fallback of an unknown one"),
    (entry("@@unheard_of\n@@@unheard_too\n@@@dont_activate\nyes"), False, "V3 fallbacks, one after the other"),
    (entry("@@depth 1\n@@@dont_activate\nyes"), True, "V3 fallback: not where the first is known"),
    (entry("@@depth x\n@@@dont_activate\nyes"), False, "V3 fallback of an ignored one"),
    (entry("@@@dont_activate\nyes"), True, "V3 fallback: of nothing it is ignored"),
    (entry("yes\n@@dont_activate"), True, "V3: decorators stand at the start"),
]


@pytest.mark.parametrize(("one", "expected", "source"), CASES)
def test_an_entry_comes_up(one: Knowledge, expected: bool, source: str) -> None:
    assert bool(texts(chosen(one, SAID))) is expected, source


def test_the_table_has_its_sixty_cases() -> None:
    assert len(KEYS) + len(CASES) >= 60


# --- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "back", "expected"),
    [(1, 0, True), (1, 1, False), (3, 2, True), (3, 3, False), (0, 0, False), (None, 3, True), (None, 4, False)],
)
def test_only_the_newest_messages_are_scanned(depth: int | None, back: int, expected: bool) -> None:
    said = [f"message {n}" for n in range(10)]
    said[-1 - back] = "the cellar"
    assert bool(texts(chosen(entry(), *said, book=Lorebook(scan_depth=depth)))) is expected


def test_an_entry_may_scan_further_than_its_book() -> None:
    said = ["the cellar", "b", "c"]
    assert texts(chosen(entry("@@scan_depth 3\nyes"), *said, book=Lorebook(scan_depth=1))) == ["yes"]
    assert texts(chosen(entry("@@scan_depth 2\nyes"), *said, book=Lorebook(scan_depth=9))) == []


def test_key_and_secondary_key_may_stand_in_different_messages_but_a_phrase_may_not() -> None:
    assert texts(chosen(entry(selective=True, secondary_keys=("lamp",)), "the cellar", "a lamp")) == ["yes"]
    assert texts(chosen(entry("yes", "old cellar"), "how old", "cellar")) == []


@pytest.mark.parametrize(("spoken", "expected"), [(0, False), (2, False), (3, True), (4, True)])
def test_activate_only_after_counts_the_characters_own_messages(spoken: int, expected: bool) -> None:
    assert bool(texts(chosen(entry("@@activate_only_after 3\nyes"), spoken=spoken))) is expected


@pytest.mark.parametrize(("spoken", "expected"), [(0, True), (1, False), (2, True), (3, False), (4, True)])
def test_activate_only_every_counts_the_characters_own_messages(spoken: int, expected: bool) -> None:
    assert bool(texts(chosen(entry("@@activate_only_every 2\nyes"), spoken=spoken))) is expected


# --- order and place ------------------------------------------------------------------------------------------------


def test_lower_insertion_order_stands_earlier_and_equals_keep_their_order() -> None:
    listed = [entry("c", insertion_order=5), entry("a", insertion_order=-1), entry("d", insertion_order=5), entry("b")]
    assert texts(chosen(listed)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("one", "place"),
    [
        (entry(), "after_char"),
        (entry(position="before_char"), "before_char"),
        (entry("@@position before_desc\nyes"), "before_char"),
        (entry("@@position after_desc\nyes", position="before_char"), "after_char"),
        (entry("@@position personality\nyes"), "personality"),
        (entry("@@position scenario\nyes"), "scenario"),
        (entry("@@position somewhere\nyes", position="before_char"), "before_char"),
        (entry("@@depth 3\n@@position scenario\nyes"), "scenario"),
    ],
)
def test_an_entry_stands_where_it_asks_to(one: Knowledge, place: str) -> None:
    assert chosen(one) == Lore(**{place: ("yes",)})  # type: ignore[arg-type]  # a place holds texts


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("@@depth 3\nyes", LoreAtDepth(3, "system", "yes")),
        ("@@depth 3\n@@role assistant\nyes", LoreAtDepth(3, "assistant", "yes")),
        ("@@role user\n@@depth 0\nyes", LoreAtDepth(0, "user", "yes")),
        ("@@depth -4\nyes", LoreAtDepth(0, "system", "yes")),
        ("@@depth 3\n@@role nobody\nyes", LoreAtDepth(3, "system", "yes")),
        ("@@depth 3\n@@depth 9\nyes", LoreAtDepth(3, "system", "yes")),
    ],
)
def test_an_entry_with_a_depth_stands_within_the_history(content: str, expected: LoreAtDepth) -> None:
    assert chosen(entry(content)) == Lore(at_depth=(expected,))


def test_decorators_and_the_lines_around_them_are_trimmed() -> None:
    asked, content = split_decorators("\n@@depth 2\n\n@@exclude_keys a, b,,\n\n\nFirst.\n@@ no decorator\n")
    assert asked == Decorators(depth=2, exclude_keys=("a", "b"))
    assert content == "First.\n@@ no decorator"
    assert split_decorators("  plain\n") == (Decorators(), "  plain\n")
    assert split_decorators("@@role\r\nyes\r\n") == (Decorators(), "yes")


def test_content_goes_in_once_however_often_it_matches() -> None:
    assert texts(chosen(entry("yes", "cellar", "go"), "cellar cellar", "go, go")) == ["yes"]


def test_macros_of_an_entry_are_expanded_and_those_of_a_player_are_no_key() -> None:
    assert texts(chosen(entry("{{char}} knows {{user}}.{{// hush}}"))) == ["Kovach knows Ana."]
    assert texts(chosen(entry("yes", "Kovach"), "{{char}}")) == []


# --- recursion ------------------------------------------------------------------------------------------------------


def test_an_entry_brings_up_another_only_where_the_book_allows_it() -> None:
    listed = [entry("There is a chest.", "cellar"), entry("It holds a map.", "chest"), entry("To the sea.", "map")]
    assert texts(chosen(listed)) == ["There is a chest."]
    assert texts(chosen(listed, book=RECURSIVE)) == ["There is a chest.", "It holds a map.", "To the sea."]


def test_entries_that_bring_up_each_other_end() -> None:
    listed = [entry("b", "a"), entry("a", "b"), entry("a b a b", "b")]
    assert texts(chosen(listed, "a", book=RECURSIVE)) == ["b", "a", "a b a b"]


def test_a_chain_goes_five_times_further_and_no_more() -> None:
    listed = [entry(f"key{n + 1}", f"key{n}") for n in range(9)]
    assert texts(chosen(listed, "key0", book=RECURSIVE)) == [f"key{n}" for n in range(1, 7)]


def test_recursion_looks_past_the_scan_depth_and_at_constants() -> None:
    listed = [entry("A chest.", "x", constant=True), entry("A map.", "chest")]
    assert texts(chosen(listed, book=Lorebook(scan_depth=0, recursive_scanning=True))) == ["A chest.", "A map."]


def test_notes_bring_up_nothing_and_hidden_keys_do_without_being_shown() -> None:
    listed = [entry("x{{// chest}}{{comment: chest}}"), entry("yes", "chest")]
    assert texts(chosen(listed, book=RECURSIVE)) == ["x"]
    listed = [entry("x{{hidden_key:chest}}"), entry("yes", "chest")]
    assert texts(chosen(listed, book=RECURSIVE)) == ["x", "yes"]
    assert texts(chosen(listed)) == ["x"]


def test_what_gm_entries_say_brings_up_nothing() -> None:
    listed = [entry("A chest.", scope="gm"), entry("yes", "chest")]
    assert texts(chosen(listed, book=RECURSIVE)) == []


# --- budget ---------------------------------------------------------------------------------------------------------


def test_over_budget_the_lowest_priority_goes_first() -> None:
    listed = [entry("a a", priority=1, insertion_order=9), entry("b b", priority=3), entry("c c", priority=2)]
    assert texts(chosen(listed, budget=6)) == ["b b", "c c", "a a"]
    lore = chosen(listed, budget=5)
    assert texts(lore) == ["b b", "c c"]
    assert lore.dropped == ("cellar",)


def test_without_priority_the_lowest_order_goes_first() -> None:
    listed = [entry("a a", insertion_order=1), entry("b b", insertion_order=2), entry("c c", insertion_order=3)]
    assert texts(chosen(listed, budget=4)) == ["b b", "c c"]
    assert texts(chosen([entry("a a"), entry("b b")], budget=2)) == ["a a"]


def test_constants_are_within_the_budget_too() -> None:
    listed = [entry("a a", "x", constant=True, insertion_order=1), entry("b b", insertion_order=2)]
    assert texts(chosen(listed, budget=2)) == ["b b"]


def test_an_entry_that_could_never_fit_pushes_nobody_out() -> None:
    listed = [entry("one two three four", priority=9, name="long"), entry("a", priority=1)]
    lore = chosen(listed, budget=3)
    assert (texts(lore), lore.dropped) == (["a"], ("long",))


def test_the_smaller_of_both_budgets_counts() -> None:
    listed = [entry("a a", insertion_order=1), entry("b b", insertion_order=2)]
    assert texts(chosen(listed, book=Lorebook(token_budget=2), budget=100)) == ["b b"]
    assert texts(chosen(listed, book=Lorebook(token_budget=100), budget=2)) == ["b b"]
    assert texts(chosen(listed, book=Lorebook(token_budget=0))) == []


def test_what_is_counted_is_what_goes_in() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return 1

    chosen(entry("@@depth 2\n{{char}}!"), budget=100, count=count)
    assert counted == ["Kovach!"]


@settings(max_examples=100)
@given(
    costs=st.lists(
        st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(-3, 3)), st.integers(-3, 3)), max_size=8
    ),
    budget=st.integers(0, 20),
)
def test_the_budget_is_kept_and_nobody_worth_more_is_left_out(
    costs: list[tuple[int, int | None, int]], budget: int
) -> None:
    listed = [
        entry(f"{n} " * cost, name=str(n), priority=priority, insertion_order=order)
        for n, (cost, priority, order) in enumerate(costs)
    ]
    lore = chosen(listed, budget=budget)
    kept = {int(text.split()[0]) for text in texts(lore)}
    assert sum(costs[n][0] for n in kept) <= budget
    worth = {n: order if priority is None else priority for n, (_, priority, order) in enumerate(costs)}
    for name in lore.dropped:
        n = int(name)
        assert costs[n][0] > budget or all(worth[n] <= worth[other] for other in kept)
    assert len(kept) + len(lore.dropped) == sum(cost > 0 for cost, _, _ in costs)


# --- hostile patterns -----------------------------------------------------------------------------------------------


def test_a_pattern_that_takes_too_long_never_matches_and_holds_nobody_up() -> None:
    listed = [entry(f"bad {n}", f"/(a+)+{n}$/") for n in range(200)] + [entry("good")]
    lore = within(2, lambda: chosen(listed, "cellar " + "a" * 5000 + "!"))
    assert texts(lore) == ["good"]
    assert "/(a+)+0$/" in lore.slow


def test_time_left_by_one_pattern_is_all_the_next_one_has() -> None:
    ticks = iter(range(1000))
    matcher = Matcher(seconds=1.5, clock=lambda: float(next(ticks)))
    lore = select(
        Lorebook(),
        [entry(str(n), f"/cella[r{n}]/") for n in range(4)],
        [SAID],
        spoken=0,
        count=words,
        expand=EXPAND,
        matcher=matcher,
    )
    assert lore.after_char == ("0", "1")
    assert lore.slow == ("/cella[r2]/", "/cella[r3]/")


@settings(max_examples=200)
@given(
    pattern=st.text(st.sampled_from("ab()[]{}*+?|\\^$.-,:=!<>P#1é "), max_size=24),
    flags=st.sampled_from(["", "i", "ms", "zz"]),
)
def test_no_pattern_crashes(pattern: str, flags: str) -> None:
    chosen([entry("x", f"/{pattern}/{flags}"), entry("y", pattern, use_regex=True)], "abab (a) é cellar")


@pytest.mark.parametrize("more", [{}, {"selective": True, "secondary_keys": ("word",)}])
def test_a_lorebook_made_to_waste_time_wastes_little(more: dict[str, Any]) -> None:
    others = [f"other {n}" for n in range(40)]
    listed = [entry(f"key{n + 1} " * 20, f"key{n}", *others, **more) for n in range(2000)]
    within(2, lambda: chosen(listed, *["key0 " + "word " * 3000] * 4, book=RECURSIVE, budget=500))


def test_a_large_lorebook_is_looked_through_whole() -> None:
    listed = [entry(str(n), *(f"key{n}x{m}" for m in range(5))) for n in range(2000)]
    assert texts(chosen(listed, "a", "b", "c", "key1999x4")) == ["1999"]


def test_the_same_talk_chooses_the_same_entries() -> None:
    listed = [entry(str(n), f"/c[e{n}]llar/", insertion_order=n % 3, priority=n % 2) for n in range(20)]
    assert chosen(listed, budget=7) == chosen(listed, budget=7)
