"""What a scalar of YAML means: the core schema of YAML 1.2, and nothing a newer or older YAML adds. Knows no parser."""

from __future__ import annotations

import re
from typing import Any

_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_STARTS = frozenset("+-.0123456789")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_MAX_DIGITS = 3000  # Python converts 4,300 decimal digits and no more, which hexadecimal ones become sooner


class Unwritable(ValueError):
    """A scalar that stands for nothing we can hold; its text says why."""


def plain_value(text: str) -> Any:
    """Resolve a plain scalar by the core schema of YAML 1.2 (section 10.3.2), so dates and `off` stay text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INT.match(text) or _BASED.match(text):
        if len(text) > _MAX_DIGITS:
            raise Unwritable(f"a number of {len(text)} digits")
        return int(text, 0 if text[1:2] in ("o", "x") else 10)
    if not _FLOAT.match(text):
        return text
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def joined(text: str) -> str:
    """Join surrogate pairs, which JSON escapes use; a lone half is no character."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise Unwritable("half of a surrogate pair") from None
