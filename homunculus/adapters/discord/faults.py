"""What an error of discord.py or of the network means for us: try again, do not, or nobody knows. Never searches a text."""

from __future__ import annotations

import aiohttp
import discord

from homunculus.errors import HomunculusError, NotReady, Refused, Uncertain

PORTAL = "https://discord.com/developers/applications"
_BAD_TOKEN = f"Discord does not accept the token; make a new one at {PORTAL} (Bot → Reset Token)"


# What Discord answers where a webhook's token is not the webhook's: the bot's own is another matter.
BAD_WEBHOOK_TOKEN = 50027


class BadToken(Refused):
    """Say that the whole session is as good as dead, not this request alone."""

    def __init__(self) -> None:
        super().__init__(_BAD_TOKEN)


# Close codes of the gateway after which connecting again is useless. Source: Discord's "Gateway Close Event Codes".
_FINAL_CLOSES = {
    4004: _BAD_TOKEN,
    4010: "Discord does not accept our shard (4010)",
    4011: "the bot is in so many guilds that Discord wants sharding (4011), which is not available",
    4012: "Discord does not accept our API version (4012)",
    4013: "Discord does not know the intents we ask for (4013)",
    4014: f"Discord withholds the message content; switch on Message Content Intent at {PORTAL} (Bot → Privileged Gateway Intents)",
}


def of_session(error: BaseException | None) -> NotReady | Refused:
    """Say why a session ended or could not begin; None is an end without an error."""
    match error:
        case NotReady() | Refused():
            return error
        case discord.LoginFailure():
            return BadToken()
        case discord.PrivilegedIntentsRequired():
            return Refused(_FINAL_CLOSES[4014])
        case discord.ConnectionClosed():
            reason = _FINAL_CLOSES.get(error.code)
            return Refused(reason) if reason else NotReady(f"Discord closed the connection ({error.code})")
        case discord.RateLimited():
            return NotReady("Discord's rate limit", after=error.retry_after)
        case discord.HTTPException():
            return NotReady(f"Discord answered {_answer(error)}", after=_after(error))
        case None:
            return NotReady("the connection to Discord ended")
        case _:
            return NotReady(f"the connection to Discord failed: {type(error).__name__}")


def is_odd(error: BaseException | None) -> bool:
    """Tell whether an error is none that Discord or the network has: a person should see where it came from."""
    usual = (HomunculusError, discord.DiscordException, aiohttp.ClientError, OSError, type(None))
    return not isinstance(error, usual)


def of_request(error: BaseException, what: str) -> HomunculusError:
    """Say what a failed request means; `what` completes "Discord refused …"."""
    match error:
        case NotReady() | Refused() | Uncertain():
            return error
        case discord.RateLimited():
            return NotReady(f"Discord's rate limit holds back {what}", after=error.retry_after)
        case discord.HTTPException(status=401) if error.code != BAD_WEBHOOK_TOKEN:
            return BadToken()
        case discord.HTTPException(status=429):
            return NotReady(f"Discord's rate limit holds back {what}", after=_after(error))
        case discord.HTTPException(status=status) if status < 500:
            return Refused(f"Discord refused {what}: {_answer(error)}")
        case discord.HTTPException():
            return Uncertain(f"Discord failed at {what}: {_answer(error)}")
        case aiohttp.ClientConnectorError():
            return NotReady(f"Discord cannot be reached for {what}: {type(error).__name__}")
        case _:
            # Cut off, timed out, garbled: the request may have arrived.
            return Uncertain(f"Discord's answer to {what} did not arrive: {type(error).__name__}")


def _answer(error: discord.HTTPException) -> str:
    return f"{error.text or 'nothing'} (HTTP {error.status}, code {error.code})"


def _after(error: discord.HTTPException) -> float | None:
    """Read how long Discord's edge wants to be left alone, in seconds."""
    said = error.response.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else None
