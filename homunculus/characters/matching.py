"""Whether a key comes up in a text. Owns plain keys, `/pattern/flags` and the time a stranger's pattern may take.

A plain key of one word is found as a whole word with ASCII borders, so Chinese keys are found inside a sentence; a phrase
is found anywhere. A pattern that is wrong, or takes too long, never matches.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import regex

_MOST_PATTERN = 1000  # characters of one pattern
_AS_PATTERN = re.compile(r"/(.+)/([a-z]*)\Z", re.DOTALL)
_FLAGS = {"i": regex.IGNORECASE, "m": regex.MULTILINE, "s": regex.DOTALL}
_HARMLESS_FLAGS = frozenset("gudvy")  # of JavaScript: none changes whether something is found
_WORD = frozenset(string.ascii_letters + string.digits + "_")


@dataclass(slots=True)
class Text:
    """One text to look in; what looking needs is worked out once, when it is first needed."""

    written: str
    _whole: str | None = None
    _folded: str | None = None

    @property
    def whole(self) -> str:
        if self._whole is None:
            self._whole = unicodedata.normalize("NFC", self.written)
        return self._whole

    @property
    def folded(self) -> str:
        if self._folded is None:
            self._folded = self.whole.casefold()
        return self._folded


@dataclass(slots=True)
class Matcher:
    """Look for keys in texts. All patterns of one selection may take `seconds` together; past `lookups` nothing is found.

    The second is ten times what the largest lorebook that people share takes, and bounds one made to waste time.
    """

    seconds: float = 0.1
    lookups: int = 100_000
    clock: Callable[[], float] = perf_counter
    slow: list[str] = field(default_factory=list)  # the patterns that were given up

    def found(self, key: str, text: Text, *, case_sensitive: bool | None, use_regex: bool) -> bool:
        """Tell whether a key comes up in a text."""
        self.lookups -= 1
        if self.lookups < 0:
            return False
        written = _AS_PATTERN.match(key)
        if written is not None:
            return self._search(key, _compiled(written[1], written[2]), text.whole)
        if use_regex:
            return self._search(key, _compiled(key, "" if case_sensitive else "i"), text.whole)
        return _plain(key, text, case_sensitive=bool(case_sensitive))

    def _search(self, key: str, pattern: regex.Pattern[str] | None, text: str) -> bool:
        if pattern is None or key in self.slow:
            return False
        if self.seconds <= 0:
            self.slow.append(key)
            return False
        begun = self.clock()
        try:
            return pattern.search(text, timeout=self.seconds) is not None
        except TimeoutError:
            self.slow.append(key)
            return False
        finally:
            self.seconds -= self.clock() - begun


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str, flags: str) -> regex.Pattern[str] | None:
    """Compile a pattern of JavaScript's flavour as far as ours agrees; None when it is wrong."""
    if len(pattern) > _MOST_PATTERN or not set(flags) <= _FLAGS.keys() | _HARMLESS_FLAGS:
        return None
    combined = regex.V0
    for letter in flags:
        combined |= _FLAGS.get(letter, regex.V0)
    try:
        return regex.compile(pattern, combined, cache_pattern=False)
    except (regex.error, RecursionError, ValueError, OverflowError, KeyError, IndexError, TypeError):
        return None  # the compiler has more ways to refuse a hopeless pattern than its own exception


def _plain(key: str, text: Text, *, case_sensitive: bool) -> bool:
    wanted, is_word = _prepared(key, case_sensitive)
    within = text.whole if case_sensitive else text.folded
    if not wanted or wanted not in within:
        return False
    return not is_word or _as_word(wanted, within)


@functools.lru_cache(maxsize=8192)
def _prepared(key: str, case_sensitive: bool) -> tuple[str, bool]:
    """Return what to look for, and whether it is one word."""
    whole = unicodedata.normalize("NFC", key.strip())
    return whole if case_sensitive else whole.casefold(), not any(map(str.isspace, whole))


def _as_word(word: str, text: str) -> bool:
    """Tell whether a word stands in a text with ASCII word borders where it has ASCII ends itself."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        begins = word[0] not in _WORD or at == 0 or text[at - 1] not in _WORD
        ends = word[-1] not in _WORD or end == len(text) or text[end] not in _WORD
        if begins and ends:
            return True
        at = text.find(word, at + 1)
    return False
