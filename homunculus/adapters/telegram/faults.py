"""What an error of the library or of the network means for us: try again, do not, or nobody knows. Never searches a text."""

from __future__ import annotations

import httpx
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    TelegramError,
)

from homunculus.adapters.telegram.client import Failed, Limited, Unauthorized
from homunculus.errors import HomunculusError, NotReady, Refused, Uncertain

_REMEDY = (
    "Telegram does not accept the token; send /token to @BotFather for the bot's present one, or /revoke for a new one, "
    "and put it into .env"
)
# The library's error of a connection that never came to be; whatever else broke, the request may have arrived.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_UNUSABLE = (httpx.UnsupportedProtocol, httpx.InvalidURL)


class BadToken(Refused):
    """Say that the whole session is as good as dead, not this request alone."""

    def __init__(self) -> None:
        super().__init__(_REMEDY)


class BadAddress(Refused):
    """Say that nobody can be asked at the address in the file."""

    def __init__(self) -> None:
        super().__init__("the api_base of telegram is no address of a server; write https://…/bot")


class SecondPoller(NotReady):
    """Say that somebody else takes this bot's messages."""

    def __init__(self) -> None:
        super().__init__(
            "another program polls Telegram with this token; stop it, or give each program a bot of its own: "
            "Telegram hands every message to one of them only"
        )


def of_request(error: BaseException, what: str) -> HomunculusError:
    """Say what a failed request means; `what` completes "Telegram refused …". Never shows a token."""
    match error:
        case NotReady() | Refused() | Uncertain():
            return error
        case Unauthorized():
            return BadToken()
        case Limited():
            return NotReady(f"Telegram's rate limit holds back {what}", after=error.seconds)
        case ChatMigrated():
            return Refused(f"Telegram refused {what}: {moved(error.new_chat_id)}")
        case Conflict():
            return SecondPoller()
        case InvalidToken():
            # Its text may hold the token.
            return Refused(f"Telegram does not know the request for {what} (404)")
        case Forbidden() | BadRequest():
            return Refused(f"Telegram refused {what}: {error.message}")
        case _:
            return _of_network(error, what)


def _of_network(error: BaseException, what: str) -> HomunculusError:
    if isinstance(error, Failed):
        return Uncertain(f"Telegram failed at {what}: HTTP {error.status}")
    if isinstance(error, NetworkError) and isinstance(error.__cause__, _UNSENT):
        return NotReady(f"Telegram cannot be reached for {what}: {_kind(error)}")
    if isinstance(error, NetworkError) and isinstance(error.__cause__, _UNUSABLE):
        return BadAddress()
    # Cut off, timed out, garbled: the request may have arrived.
    return Uncertain(f"Telegram's answer to {what} did not arrive: {_kind(error)}")


def of_question(error: BaseException, what: str) -> NotReady | Refused:
    """Say what a request that only asks means: one in doubt may be asked again."""
    fault = of_request(error, what)
    return fault if isinstance(fault, NotReady | Refused) else NotReady(str(fault))


def of_opening(error: BaseException) -> NotReady | Refused:
    """Say why a session could not begin: the path with a malformed token does not exist (404)."""
    return BadToken() if isinstance(error, InvalidToken) else of_session(error, "the login")


def of_session(error: BaseException, what: str) -> NotReady | Refused:
    """Say what a failure means for the session: only a dead token and a wrong address are for a person to mend.

    Anything else that refuses us may be a proxy, or a server of one's own that starts.
    """
    fault = of_question(error, what)
    return fault if isinstance(fault, NotReady | BadToken | BadAddress) else NotReady(fault.reason)


def is_odd(error: BaseException) -> bool:
    """Tell whether an error is none that Telegram or the network has: a person should see where it came from."""
    return not isinstance(error, HomunculusError | TelegramError | httpx.HTTPError | OSError)


def moved(new: int) -> str:
    """Say what to change in the file when a group became a supergroup."""
    return f'the group became the supergroup {new}; write chat_id "{new}" in its place in the deployment file'


def _kind(error: BaseException) -> str:
    return type(error.__cause__ or error).__name__
