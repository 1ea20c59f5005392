"""How what somebody said stands in a prompt: as lines of one speaker that cannot pass for anything else.

Owns the defence of a prompt's structure against players: names, line breaks, marks of chat templates. Never expands a macro.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_UNSAFE_IN_NAME = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029:：#<>\[\]{}|`*]+")
_LINE_BREAKS = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Marks that chat templates give a meaning: ChatML, Llama, Mistral, Gemma, Phi, DeepSeek. A model's tokenizer would take
# them for the template's own, so the first character is parted from the rest.
_MARKS = re.compile(
    r"(?P<open>[<＜])(?=\s*(?:[|｜]|/?(?:s|bos|eos|pad|unk|sep|cls|mask|sys|think|thinking|thought)\s*>|<\s*/?\s*sys|"
    r"/?(?:start|end)_of_(?:turn|text|image)\b))"
    r"|(?P<bracket>\[)(?=\s*/?\s*(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\s*\])",
    re.IGNORECASE,
)
_ROLES = frozenset(
    {"system", "assistant", "user", "developer", "tool", "function", "ai", "human", "model", "instructions"}
)
# Letters of other scripts that look like Latin ones. Source: Unicode's confusables.txt, its Cyrillic, Greek and digits.
_LOOKS_LIKE = str.maketrans(
    "авсԁеһіјӏкмнорԛгѕтѵԝхуαβγεηικμνορτυχωı01",
    "abcdehijlkmhopqrstvwxyabyenikuvoptuxwiol",
)
PLAYER = " (player)"
_LONGEST_NAME = 40


@lru_cache(maxsize=1024)  # the same few speak again in every line of a history
def speaker(name: str, npc: str = "") -> str:
    """Return a name that is one word group on one line and cannot open a section or another speaker's line.

    Whoever is called like the NPC, or like a role of the protocol, or only looks so, is marked as a player.
    """
    safe = " ".join(_UNSAFE_IN_NAME.sub(" ", name).split())[:_LONGEST_NAME].strip() or "Someone"
    like = _bare(safe)
    taken = like in _ROLES or bool(npc and like == _bare(npc))
    return f"{safe[: _LONGEST_NAME - len(PLAYER)].strip()}{PLAYER}" if taken else safe


def spoken(name: str, text: str, npc: str = "") -> str:
    """Return one message as a speaker's line; further lines are indented, so none can pass for another speaker's."""
    return f"{speaker(name, npc)}: {quoted(text)}"


def quoted(text: str) -> str:
    """Return somebody's text as data: line breaks indented, marks of chat templates broken."""
    return unmarked("\n  ".join(_LINE_BREAKS.split(text)))


def unmarked(text: str) -> str:
    """Break what a chat template would take for its own marks; a person reads the same."""
    return _MARKS.sub(lambda match: f"{match[0]} ", text) if "<" in text or "[" in text or "＜" in text else text


def _bare(name: str) -> str:
    """Reduce a name to what it looks like: no case, no marks, no look-alike letters, nothing invisible."""
    folded = unicodedata.normalize("NFKD", name).casefold().translate(_LOOKS_LIKE)
    return "".join(char for char in folded if char.isalnum())
