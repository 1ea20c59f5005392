"""How texts become words for the full-text index: letters and digits as they are, Chinese and Japanese by the character."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise

# Scripts that write no spaces between words: each character is a word of the index.
_ALONE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")
_ONE_ALONE = re.compile(rf"[{_ALONE}]")
_MOST = 32  # words of one query

COMMON = frozenset(
    re.findall(
        r"\S+",
        "a about am an and are as at be been but by can did do does for from had has have he her him his how i if in is it "
        "its me my of on or our she so that the their them then there they this to us was we were what when where which who "
        "whom whose why will with would you your 的 了 是 在 我 你 他 她 它 们 吗 呢 吧 啊 和 与 也 就 都 谁 什 么 哪 怎 有 "
        "の は が を に で と も か",
    )
)  # words that tell nothing about what is looked for


def words(text: str) -> list[str]:
    """Return the words of a text in order, folded so that two spellings of one word are equal."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace("_", " "))


def indexed(text: str) -> str:
    """Return what the index is given for a text."""
    return " ".join(words(text))


def parts(text: str) -> list[str]:
    """Return the words of a text for an index that knows no Chinese or Japanese: neighbours of such a script as pairs."""
    met = words(text)
    alone = [_ONE_ALONE.fullmatch(word) is not None for word in met] + [False]
    return [
        f"{word}{met[place + 1]}" if alone[place] else word
        for place, word in enumerate(met)
        if not alone[place] or alone[place + 1]
    ]


def asked(text: str, rows: Callable[[Sequence[str]], Sequence[int]], most: int) -> str:
    """Return the index's query for a text: any of its telling words, neighbours of a script without spaces as pairs too.

    `rows` tells how many facts each of some parts of the query finds. The rarest parts are taken, as many as find `most` together, none
    if each finds more: what so many facts have in common says little about any, and ranking them all takes long.
    """
    met = words(text)
    telling = [word for word in dict.fromkeys(met) if word not in COMMON] or list(dict.fromkeys(met))
    pairs = [f"{one} {two}" for one, two in pairwise(met) if _ONE_ALONE.fullmatch(one) and _ONE_ALONE.fullmatch(two)]
    # The last words are the newest: what was said before them only colours them.
    wanted = [*telling[-_MOST:], *dict.fromkeys(pairs[-_MOST:])]
    found = dict(zip(wanted, rows([f'"{part}"' for part in wanted]), strict=True)) if wanted else {}
    taken: list[str] = []
    for part in sorted(found, key=lambda part: found[part]):
        if (most := most - found[part]) < 0:
            break
        if found[part]:
            taken.append(f'"{part}"')
    return " OR ".join(taken)
