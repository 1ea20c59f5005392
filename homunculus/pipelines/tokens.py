"""Counts tokens without a tokenizer's table, close enough to budget with in any script.

A text is cut into runs of one script; each run costs by its length, at rates fitted to o200k_base (the measured error is
in docs/performance.md). Chinese costs what Chinese costs: about two tokens for three characters, not one for four.
"""

from __future__ import annotations

import re
from functools import lru_cache

_RUNS = re.compile(
    r"(?P<latin>[A-Za-zÀ-ɏ]+(?:['’][A-Za-z]+)?)"
    r"|(?P<cyrillic>[Ѐ-ӿ]+)"
    r"|(?P<han>[\u3400-\u9fff\uf900-\ufaff]+)"
    r"|(?P<kana>[\u3040-\u30ffー]+)"
    r"|(?P<hangul>[\uac00-\ud7af]+)"
    r"|(?P<digits>\s?[0-9]+)"  # a digit run does not swallow the space before it, as a word does
    r"|(?P<newlines>\n+)"
    r"|(?P<space>[^\S\n]+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_CUT = re.compile(re.sub(r"\?P<\w+>", "?:", _RUNS.pattern), re.DOTALL)  # the same cuts; without groups it is all C
_RATES = {"han": 0.78, "kana": 0.75, "hangul": 0.70}  # tokens for one character
_WHOLE_LATIN, _WHOLE_CYRILLIC = 8, 3.4  # letters that one token usually covers
PER_MESSAGE = 4  # what a chat template wraps a message in


# History comes again with every turn of its conversation, and a language says most things with few words: counting was
# more than half of a message's CPU without these two. What they hold is small, and the same however many speak.
@lru_cache(maxsize=4096)
def count_tokens(text: str) -> int:
    """Estimate how many tokens a text costs; 0 for an empty one."""
    return round(sum(map(_run_cost, _CUT.findall(text))))


@lru_cache(maxsize=4096)
def _run_cost(run: str) -> float:
    match = _RUNS.match(run)
    return _cost(match.lastgroup or "other", run) if match else 0.0


def _cost(script: str, run: str) -> float:
    match script:
        case "latin":
            return max(1.0, len(run) / _WHOLE_LATIN)
        case "cyrillic":
            return max(1.0, len(run) / _WHOLE_CYRILLIC)
        case "digits":
            return -(-len(run.lstrip()) // 3) + (run[0].isspace())
        case "newlines":
            return 1.0
        case "space":
            return 0.0 if len(run) == 1 else 1.0
        case "other":
            return 1.0 if ord(run) < 0x2000 or 0x3000 <= ord(run) <= 0xFFEF else 1.5
        case _:
            return len(run) * _RATES[script]
