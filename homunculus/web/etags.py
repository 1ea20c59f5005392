"""Which state of a thing a client has seen: ETags out, `If-Match` in. Pure; never knows what the thing is.

Source: RFC 9110, sections 8.8.3 and 13.1.1.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any

from starlette.requests import Request

from homunculus.web.errors import ApiError

_TAG = re.compile(r'(W/)?("[^"]*")')


def etag(shown: Any) -> str:
    """Return the tag of what is shown as this JSON."""
    return f'"{blake2b(json.dumps(shown, sort_keys=True).encode(), digest_size=16).hexdigest()}"'


def check_match(request: Request, current: str) -> None:
    """Refuse a change that was meant for another state than the current one; without `If-Match` it is meant for any."""
    given = request.headers.getlist("if-match")
    if not given:
        return
    wanted = ", ".join(given)
    if wanted.strip() != "*" and current not in (tag for weak, tag in _TAG.findall(wanted) if not weak):
        fault = "it was changed since you read it; read it again and decide anew"
        raise ApiError(412, "changed", fault, headers={"ETag": current})
