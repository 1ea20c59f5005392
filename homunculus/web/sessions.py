"""Who may come in: the token, the pages' cookie made from it, and the one-time codes of sign-in links.

Owns the outstanding codes. A cookie is signed, not stored, so it survives a restart and dies with the token. Never
shows the token: neither in a repr nor in anything it returns.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

CODE_SECONDS = 3600.0
SESSION_SECONDS = 30 * 86400.0
_CODES = 64  # more outstanding links than anyone clicks; the oldest gives way


class Sessions:
    """Check tokens and cookies in constant time, and trade a sign-in code for a cookie, once."""

    def __init__(self, token: str, clock: Callable[[], float] = time.time, *, key: str = "") -> None:
        """Take the API's token, and a `key` of this run for the program's own command line."""
        if not token:
            raise ValueError("an empty token would let everybody in")
        self._tokens = [hashlib.sha256(each.encode()).digest() for each in (token, key) if each]
        self._key = hmac.digest(token.encode(), b"homunculus pages", "sha256")
        self._clock = clock
        # All the mutable state: hashes of codes not used yet, and when each ends.
        self._codes: OrderedDict[bytes, float] = OrderedDict()

    def accepts_token(self, given: str) -> bool:
        """Tell whether this is the token; hashed first, so neither content nor length shows in the time taken."""
        digest = hashlib.sha256(given.encode(errors="replace")).digest()
        # Every one is compared, so the time taken does not tell which fits.
        return sum(hmac.compare_digest(digest, each) for each in self._tokens) > 0

    def issue_code(self) -> str:
        """Make a code that signs one browser in, within the hour."""
        code = secrets.token_urlsafe(24)
        self._codes[_digest(code)] = self._clock() + CODE_SECONDS
        while len(self._codes) > _CODES:
            self._codes.popitem(last=False)
        return code

    def redeem(self, code: str) -> str | None:
        """Trade a code for the value of the session cookie; None when it was used, has expired or never was."""
        ends = self._codes.pop(_digest(code), None)
        return self._cookie() if ends is not None and self._clock() < ends else None

    def accepts_cookie(self, value: str) -> bool:
        """Tell whether this cookie was made from our token and is not too old."""
        issued, _, rest = value.partition(".")
        nonce, _, signature = rest.partition(".")
        genuine = hmac.compare_digest(signature.encode(errors="replace"), self._sign(issued, nonce).encode())
        return genuine and self._clock() < int(issued) + SESSION_SECONDS

    def _cookie(self) -> str:
        issued, nonce = str(int(self._clock())), secrets.token_hex(8)
        return f"{issued}.{nonce}.{self._sign(issued, nonce)}"

    def _sign(self, issued: str, nonce: str) -> str:
        return hmac.new(self._key, f"{issued}.{nonce}".encode(errors="replace"), "sha256").hexdigest()


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="replace")).digest()
