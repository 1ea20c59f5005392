"""Which entries of a lorebook belong into a prompt, and where. Pure: the clock, the counting and the macros are passed in.

Sources: chara_card_v2 and chara_card_v3, "Lorebook". Entries of scope `gm` are left out before anything else. Where the
specifications leave a choice: four messages are scanned, keys ignore case, an entry without a position stands after the
character, and `constant`, secondary and excluded keys count for entries with `use_regex` too, because much-used programs
write that flag on every entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from homunculus.characters.decorators import Decorators, split_decorators
from homunculus.characters.macros import hidden_keys
from homunculus.characters.matching import Matcher, Text
from homunculus.model import Knowledge, Lore, LoreAtDepth, Lorebook

SCAN_DEPTH = 4  # messages, where a book says nothing
_LONGEST = 8_192  # characters at the end of a message that are looked at
_MOST_RECURSION = 32_768  # characters of entries that are looked at for further keys
_MOST_ROUNDS = 6  # an entry brings up another, that one a third, and so on


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry as this selection sees it."""

    index: int
    lore: Knowledge
    asked: Decorators
    content: str  # without decorators, macros not yet expanded

    @property
    def order(self) -> tuple[float, int]:
        return (self.lore.insertion_order, self.index)

    @property
    def worth(self) -> tuple[float, float, int]:
        """Return what decides who stays within the budget: the lowest goes first."""
        priority = self.lore.insertion_order if self.lore.priority is None else self.lore.priority
        return (priority, self.lore.insertion_order, -self.index)

    @property
    def shown(self) -> str:
        return self.lore.name or next(iter(self.lore.keys), "") or f"entry {self.index + 1}"


def select(
    book: Lorebook,
    entries: Iterable[Knowledge],
    messages: Sequence[str],
    *,
    spoken: int,
    count: Callable[[str], int],
    expand: Callable[[str], str],
    budget: int | None = None,
    matcher: Matcher | None = None,
) -> Lore:
    """Choose the entries that belong into a prompt.

    `messages` are the texts of the conversation, oldest first, the newest last; `spoken` is how many of its messages are
    the character's own; `count` gives the tokens of a text; `expand` replaces the macros of a card's text and is called
    once for each entry that comes up; `budget` is how many tokens the caller has, beside the book's own limit.
    """
    matcher = matcher or Matcher()
    scan = _Scan(book, [Text(message[-_LONGEST:]) for message in messages], matcher)
    candidates = [entry for entry in _entries(entries) if _allowed(entry, spoken)]
    texts: dict[int, str] = {}
    chosen: list[_Entry] = []
    for _ in range(_MOST_ROUNDS):
        found = [entry for entry in candidates if scan.activates(entry)]
        for entry in found:
            texts[entry.index] = expand(entry.content).strip()
            if book.recursive_scanning:
                scan.read(texts[entry.index], hidden_keys(entry.content))
        chosen += found
        taken = {entry.index for entry in found}
        candidates = [entry for entry in candidates if entry.index not in taken]
        if not scan.news():
            break
    chosen = [entry for entry in chosen if texts[entry.index]]
    kept, dropped = _within(chosen, texts, count, _least(book.token_budget, budget))
    return _placed(sorted(kept, key=lambda entry: entry.order), texts, dropped, matcher.slow)


def _entries(entries: Iterable[Knowledge]) -> list[_Entry]:
    return [
        _Entry(index, lore, *split_decorators(lore.content))
        for index, lore in enumerate(entries)
        if lore.enabled and lore.scope != "gm"
    ]


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _allowed(entry: _Entry, spoken: int) -> bool:
    """Tell whether its decorators leave it a chance at this point of the talk."""
    asked = entry.asked
    if asked.activate:
        return True
    if asked.dont_activate:
        return False
    if asked.activate_only_after is not None and spoken < asked.activate_only_after:
        return False
    return asked.activate_only_every is None or spoken % asked.activate_only_every == 0


@dataclass(slots=True)
class _Scan:
    """What is looked at: the newest messages, and the entries that came up where one may bring up another."""

    book: Lorebook
    messages: list[Text]
    matcher: Matcher
    _read: list[str] = field(default_factory=list)  # in this round, for the next
    _lore: list[Text] = field(default_factory=list)  # of each round before, the newest last
    _left: int = _MOST_RECURSION

    def activates(self, entry: _Entry) -> bool:
        """Tell whether an entry comes up."""
        asked, lore = entry.asked, entry.lore
        if asked.activate:
            return True
        texts = [*self._recent(asked.scan_depth), *self._lore]
        depends = asked.additional_keys or (lore.selective and lore.secondary_keys)
        # what stood there in earlier rounds did not bring it up, unless something else was missing
        fresh = texts if depends or not self._lore else self._lore[-1:]
        if asked.exclude_keys and self._any(asked.exclude_keys, lore, texts):
            return False
        if asked.additional_keys and not self._any(asked.additional_keys, lore, texts):
            return False
        if lore.constant:
            return True
        if not self._any(lore.keys, lore, fresh):
            return False
        return not (lore.selective and lore.secondary_keys) or self._any(lore.secondary_keys, lore, texts)

    def _recent(self, asked: int | None) -> list[Text]:
        own = SCAN_DEPTH if self.book.scan_depth is None else self.book.scan_depth
        depth = own if asked is None else asked
        return self.messages[-depth:] if depth else []

    def _any(self, keys: Iterable[str], lore: Knowledge, texts: list[Text]) -> bool:
        found = self.matcher.found
        return any(
            found(key, text, case_sensitive=lore.case_sensitive, use_regex=lore.use_regex)
            for key in keys
            for text in texts
        )

    def read(self, text: str, hidden: str) -> None:
        """Look at an entry's own text, and its hidden keys, from the next round on."""
        whole = f"{text}\n{hidden}"[: self._left] if hidden else text[: self._left]
        self._left -= len(whole)
        if whole:
            self._read.append(whole)

    def news(self) -> bool:
        """Begin the next round; tell whether there is anything new to look at."""
        read, self._read = self._read, []
        if read:
            self._lore.append(Text("\n\n".join(read)))
        return bool(read)


def _within(
    chosen: list[_Entry], texts: dict[int, str], count: Callable[[str], int], budget: int | None
) -> tuple[list[_Entry], list[_Entry]]:
    """Return what fits, and what was left out: the lowest priority first, before all what could never fit."""
    if budget is None:
        return chosen, []
    costs = {entry.index: count(texts[entry.index]) for entry in chosen}
    dropped = [entry for entry in chosen if costs[entry.index] > budget]
    kept = sorted((entry for entry in chosen if costs[entry.index] <= budget), key=lambda entry: entry.worth)
    total = sum(costs[entry.index] for entry in kept)
    lost = 0
    while total > budget:
        total -= costs[kept[lost].index]
        lost += 1
    return kept[lost:], dropped + kept[:lost]


def _placed(kept: list[_Entry], texts: dict[int, str], dropped: list[_Entry], slow: list[str]) -> Lore:
    places: dict[str, list[str]] = {"before_char": [], "after_char": [], "personality": [], "scenario": []}
    at_depth: list[LoreAtDepth] = []
    for entry in kept:
        asked, text = entry.asked, texts[entry.index]
        if asked.depth is not None and asked.position is None:
            at_depth.append(LoreAtDepth(asked.depth, asked.role or "system", text))
        else:
            places[asked.position or entry.lore.position].append(text)
    return Lore(
        **{place: tuple(found) for place, found in places.items()},
        at_depth=tuple(at_depth),
        dropped=tuple(entry.shown for entry in sorted(dropped, key=lambda entry: entry.order)),
        slow=tuple(slow),
    )
