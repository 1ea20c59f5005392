"""Tells whether a YAML text is ordinary: block style, one entry a line, scalars that every reader of YAML 1.2 reads alike.

Owns which texts may skip the reference reader, and says no when in doubt. Never parses and never words an error.

An ordinary text has no tab, tag, anchor, alias, merge key, directive or document mark. A line is `key:`, `key: value`,
`- key:`, `- key: value` or `- value`; a value is a plain scalar, a quoted one, a flow collection closed on its line, or a
block scalar. Nothing continues on the next line. A plain scalar that begins like a number is a decimal integer of up to 19
digits or a fraction that is not whole: other spellings (1e3, 0o17, 1_000, 1.0) are where readers and schemas differ.
"""

from __future__ import annotations

import functools
import re

_FOREIGN = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_DEEPEST = 32  # columns of indentation; a level costs at least one, so the limit of depth cannot be passed unseen
_NESTED = 3  # collections in one another on one line
_LINES = 256  # matched at once: the interpreter is held meanwhile

# No two ways to match one text: a line that is not ordinary after all would be tried in every combination.
_END = r" *+(?:(?<= )#[^\n]*+)?\n"
_BLANK = r" *+(?:#[^\n]*+)?\n"
_NUMBER = r"(?:-[0-9]{1,18}|[0-9]{1,19})(?:(?<![0-9]{10})\.(?=[0-9]*[1-9])[0-9]{1,6})?"
_QUOTED = r"\"[^\"\\\n]*+(?:\\[\"\\nt][^\"\\\n]*+)*\"|'[^'\n]*+(?:''[^'\n]*+)*'"
_KEY = (
    r"(?:(?!(?:true|True|TRUE|false|False|FALSE|null|Null|NULL):)"
    r"[^\W\d_][\w.()/&-]{0,99}(?: [\w.()/&-]{1,99}){0,8}|\"[^\"\\\n]{0,99}\"|'[^'\n]{0,99}'):"
)
_BRACKETS = r",\[\]{}"
_BEGINS = (
    r"(?:[^\x00-#%-')-.0-@\[\]_`{-\x7f]|\.\.?/|~/"
    r"|[0-9]++(?:[g-np-wyzG-NP-WYZ]|:(?=[^ \n,\[\]{}])| +(?=[^\W\d_])|(?<=[0-9]{4})-[0-9]{2}-[0-9]{2}(?=[ \n])))"
)


def _plain(other: str = "") -> str:
    """Describe a plain scalar on one line; `other` are the characters it cannot contain."""
    within = rf"[^ \n:{other}]*+(?::(?=[^ \n{other}])[^ \n:{other}]*+)*"
    return rf"{_BEGINS}{within}(?: +[^ \n:#{other}]{within})*"


def _flow() -> str:
    """Describe a collection in brackets or braces on one line, and what may be nested in it."""
    scalar = rf"(?:{_NUMBER}|~|{_plain(_BRACKETS)}|{_QUOTED})(?= *[,\]}}])"
    item, both = scalar, ""
    for _ in range(_NESTED):
        item_or_last = r" *(?:, *|(?=[\]}]))"
        both = rf"\[ *(?:{item}{item_or_last})*\]|\{{ *(?:{_KEY} +{item}{item_or_last})*\}}"
        item = rf"(?:{scalar}|{both})"
    return both


def _value(within: str, name: str) -> str:
    """Describe a value to the end of its line or lines; `within` is how far the lines beside it are indented."""
    one_line = rf"(?:{_NUMBER}|~|{_plain()}|{_QUOTED}|{_flow()}){_END}(?!(?:{_BLANK})*(?P=indent){within} +[^ #\n])"
    literal = rf"\|-?{_END}(?P<{name}>(?P=indent){within} +)[^ \n][^\n]*\n(?:(?P={name})[^\n]*\n|\n)*"
    folded = rf">-?{_END}(?P<{name}f>(?P=indent){within} +)[^ \n][^\n]*\n(?:(?P={name}f)[^ \n][^\n]*\n|\n)*"
    return rf"(?:{one_line}|{literal}|{folded})"


@functools.cache  # compiling takes as long as reading two thousand lines: once, when first needed
def _some_lines() -> re.Pattern[str]:
    entry = rf"(?:(?:{_KEY} +|- ){_value('', 'a')}|{_KEY}{_END})"
    item = rf"- {_KEY}(?: +{_value('  ', 'b')}|{_END})(?!(?:{_BLANK})*(?P=indent) [^ #\n])"
    return re.compile(rf"(?:(?P<indent> {{0,{_DEEPEST}}})(?:{item}|{entry})|{_BLANK}){{1,{_LINES}}}")


def is_ordinary(text: str) -> bool:
    """Tell whether a text, which uses \\n alone and ends with it, is ordinary."""
    if _FOREIGN.search(text):
        return False
    some_lines = _some_lines().match
    at, end = 0, len(text)
    while at < end:
        lines = some_lines(text, at)
        if lines is None:
            return False
        at = lines.end()
    return True
