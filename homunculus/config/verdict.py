"""Says quickly that data has the right shape, or nothing. The only importer of jsonschema_rs; never says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_compiled: Callable[..., Any] | None
try:
    import jsonschema_rs
except ImportError:  # there is no wheel for every machine: the reference checks everything then
    _compiled = None
else:
    _compiled = jsonschema_rs.Draft202012Validator

Verdict = Callable[[Any], bool]


def verdict(schema: dict[str, Any]) -> Verdict:
    """Return a callable that says whether data of an ordinary text is right; False may also mean that it cannot tell.

    It takes 1.0 for an integer and infinity for a number, which the reference does not: ordinary texts have neither.
    """
    if _compiled is None:
        return lambda _: False
    accepts: Verdict = _compiled(schema, offline=True).is_valid

    def says(data: Any) -> bool:
        try:
            return accepts(data)
        except ValueError:  # data it cannot hold
            return False

    return says
