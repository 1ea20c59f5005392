"""What an error of slack-sdk, of Slack or of the network means for us: try again, do not, or nobody knows.

Slack answers with error codes, which are data; no text is ever searched. Source: the error tables of Slack's methods.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError

from homunculus.errors import HomunculusError, NotReady, Refused, Uncertain

APPS = "https://api.slack.com/apps"

# The token itself is the trouble: the whole session is as good as dead.
_DEAD_TOKEN = {
    "invalid_auth": "it is not one of Slack's",
    "not_authed": "none was sent",
    "account_inactive": "the app or its workspace was removed",
    "token_revoked": "it was revoked",
    "token_expired": "it has expired",
    "not_allowed_token_type": "it is a token of another kind (bot_token begins with xoxb-, app_token with xapp-)",
    "org_login_required": "the workspace moves to an organisation",
}
# Nothing was done, and later it may be.
_LATER = {"ratelimited", "rate_limited", "request_timeout", "service_unavailable", "team_added_to_org"}
# Slack failed midway, and says itself that some of it may have been done.
_MIDWAY = {"internal_error", "fatal_error"}
_REMEDIES = {
    "channel_not_found": "there is no such conversation, or it is private and the bot is not in it; invite it there",
    "not_in_channel": "the bot is not in that channel; type /invite @<the bot> there",
    "is_archived": "the channel is archived",
    "restricted_action": "the workspace does not let apps post there",
    "msg_too_long": "the text is too long for Slack",
    "cant_update_message": "it is not a message of this bot",
    "edit_window_closed": "the workspace does not let messages be changed so late",
    "user_not_found": "there is no such user in the workspace",
    "cannot_dm_bot": "a bot cannot be written to",
    "forbidden_team": "Socket Mode is switched off; switch it on in the app's settings (Socket Mode)",
}


class BadToken(Refused):
    """Say that the whole session is as good as dead, not this call alone."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"Slack does not accept the {key}: {why}; make a new one at {APPS}")


class Denied(Refused):
    """Say that Slack refused one call, and with which of its codes."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(reason)
        self.code = said


def code(error: SlackApiError) -> str:
    """Return Slack's error code; "" where it gave none."""
    data = getattr(error.response, "data", None)
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def of_call(error: BaseException, what: str, *, reads: bool = False, key: str = "bot_token") -> HomunculusError:
    """Say what a failed call means; `what` completes "Slack refused …", `reads` that doing it twice does no harm.

    `key` names the token that was used.
    """
    match error:
        case NotReady() | Refused() | Uncertain():
            return error
        case SlackApiError():
            fault = _of_answer(error, what, key)
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return NotReady(f"Slack cannot be reached for {what}: {type(error).__name__}")
        case _:
            # Cut off, timed out, garbled: the call may have arrived.
            fault = Uncertain(f"Slack's answer to {what} did not arrive: {type(error).__name__}", final=True)
    return NotReady(fault.reason) if reads and isinstance(fault, Uncertain) else fault


def _of_answer(error: SlackApiError, what: str, key: str) -> NotReady | Refused | Uncertain:
    status = _status(error.response)
    if status == 429:
        return NotReady(f"Slack's rate limit holds back {what}", after=_after(error.response))
    if status >= 500:
        return Uncertain(f"Slack failed at {what}: HTTP {status}", final=True)
    said = code(error)
    if why := _DEAD_TOKEN.get(said):
        return BadToken(key, why)
    if said in _LATER:
        return NotReady(f"Slack cannot do {what} now: {said}", after=_after(error.response))
    if said in _MIDWAY or not said:
        return Uncertain(
            f"Slack failed at {what}: {said or f'an answer that cannot be read (HTTP {status})'}", final=True
        )
    return Denied(f"Slack refused {what}: {_remedy(said, error.response)} ({said})", said)


def _remedy(said: str, response: Any) -> str:
    if said == "missing_scope":
        needed = str(response.get("needed", "")).replace(",", " or ")
        return f"the app lacks the scope {needed}; add it under OAuth & Permissions at {APPS} and reinstall the app"
    return _REMEDIES.get(said, "it does not allow it")


def _status(response: Any) -> int:
    # Where the answer was no JSON, slack-sdk hands over aiohttp's own response.
    found = getattr(response, "status_code", None) or getattr(response, "status", None)
    return int(found or 0)


def _after(response: Any) -> float | None:
    said = str((response.headers or {}).get("Retry-After", ""))
    return float(said) if said.isdecimal() else None


def of_status(error: aiohttp.ClientResponseError, what: str) -> HomunculusError:
    """Say what an answer of a response_url means, which knows statuses only."""
    if error.status == 429:
        return NotReady(f"Slack's rate limit holds back {what}", after=_after(error))
    if error.status >= 500:
        return Uncertain(f"Slack failed at {what}: HTTP {error.status}", final=True)
    return Refused(f"Slack refused {what}: HTTP {error.status}")
