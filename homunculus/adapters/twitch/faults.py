"""What an error of Twitch or of the network means for us: try again, do not, or nobody knows. Never searches a text."""

from __future__ import annotations

import aiohttp
from twitchio.exceptions import TwitchioException

from homunculus.adapters.twitch.api import Failed
from homunculus.errors import HomunculusError, NotReady, Refused, Uncertain

READ, WRITE = "user:read:chat", "user:write:chat"
REMEDY = f"authorize the account again, with the scopes {READ} and {WRITE}, and put the new token into the secrets"


class BadToken(Refused):
    """Say that the whole session is as good as dead, not this request alone."""

    def __init__(self, fault: str = "Twitch does not accept the token") -> None:
        super().__init__(f"{fault}; {REMEDY}")


def of_request(error: BaseException, what: str) -> HomunculusError:
    """Say what a failed request means that may have had an effect; `what` completes "Twitch refused …"."""
    match error:
        case HomunculusError():
            return error
        case Failed(status=429):
            return NotReady(f"Twitch's rate limit holds back {what}", after=error.after)
        case Failed(status=status) if status < 500:
            return Refused(f"Twitch refused {what}: {error.said} (HTTP {status})")
        case Failed():
            return Uncertain(f"Twitch failed at {what}: HTTP {error.status}")
        case aiohttp.ClientConnectorError():
            return NotReady(f"Twitch cannot be reached for {what}: {type(error).__name__}")
        case _:
            # Cut off, timed out, garbled: the request may have arrived.
            return Uncertain(f"Twitch's answer to {what} did not arrive: {type(error).__name__}")


def of_question(error: BaseException, what: str) -> HomunculusError:
    """Say the same of a request that may be repeated without harm: nothing about it is uncertain."""
    fault = of_request(error, what)
    return NotReady(fault.reason) if isinstance(fault, Uncertain) else fault


def is_usual(error: BaseException) -> bool:
    """Tell whether Twitch or the network may have such an error; any other is a bug that a person should see."""
    usual = (HomunculusError, Failed, TwitchioException, aiohttp.ClientError, OSError, TimeoutError)
    return isinstance(error, usual)
