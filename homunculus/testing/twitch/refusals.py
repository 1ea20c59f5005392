"""The refusals Twitch answers with: HTTP status and words in one value.

Owns the table. Never decides when one applies. Source: Twitch's "Twitch API Reference", "Authentication" and "EventSub".
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

Json = dict[str, Any]
_Row = tuple[int, str]


class Refusal(Exception):
    """Carry one JSON error answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text

    def body(self) -> Json:
        """Word it as Helix and the id server do."""
        return {"error": HTTPStatus(self.status).phrase, "status": self.status, "message": self.text}


NO_TOKEN: Final[_Row] = (401, "OAuth token is missing")
BAD_TOKEN: Final[_Row] = (401, "Invalid OAuth token")
NO_CLIENT_ID: Final[_Row] = (401, "Client ID is missing")
WRONG_CLIENT_ID: Final[_Row] = (401, "Client ID and OAuth token do not match")
INVALID_ACCESS_TOKEN: Final[_Row] = (401, "invalid access token")
MISSING_AUTHORIZATION: Final[_Row] = (401, "missing authorization token")
UNKNOWN_CLIENT: Final[_Row] = (400, "invalid client")
WRONG_SECRET: Final[_Row] = (403, "invalid client secret")
WRONG_GRANT: Final[_Row] = (400, "Invalid grant type")
NO_REFRESH_TOKEN: Final[_Row] = (400, "missing refresh token")
BAD_REFRESH_TOKEN: Final[_Row] = (400, "Invalid refresh token")
DISCONNECTED_APP: Final[_Row] = (401, "Invalid refresh token")
NO_JSON: Final[_Row] = (400, "The request body is not valid JSON.")
NO_SESSION: Final[_Row] = (400, "websocket transport session does not exist or has already disconnected")
WRONG_METHOD: Final[_Row] = (400, "invalid transport and auth combination")
UNAUTHORIZED_SUBSCRIPTION: Final[_Row] = (403, "subscription missing proper authorization")
SUBSCRIBED: Final[_Row] = (409, "subscription already exists")
TOO_MANY_SUBSCRIPTIONS: Final[_Row] = (429, "number of websocket subscriptions limit exceeded")
TOO_MANY_CONNECTIONS: Final[_Row] = (429, "number of websocket transports limit exceeded")
TOO_COSTLY: Final[_Row] = (429, "maximum total cost of subscriptions exceeded")
NO_SUBSCRIPTION: Final[_Row] = (404, "subscription not found")
OTHERS_NAME: Final[_Row] = (401, "The ID in sender_id must match the user ID found in the request's OAuth token.")
BANNED: Final[_Row] = (403, "The sender is not permitted to send chat messages to the broadcaster's chat room.")
TOO_LARGE: Final[_Row] = (422, "The message is too large.")
NO_PARENT: Final[_Row] = (400, "The parameter reply_parent_message_id is not a message of this chat room.")
NOT_FOUND: Final[_Row] = (404, "404 page not found")
METHOD_NOT_ALLOWED: Final[_Row] = (405, "method not allowed")
TOO_MANY_REQUESTS: Final[_Row] = (429, "Your request rate limit has been exceeded.")


def refuse(row: _Row) -> Refusal:
    """Make a new exception of a row."""
    return Refusal(*row)


def missing(name: str) -> Refusal:
    """Refuse a request that lacks a parameter."""
    return Refusal(400, f'The parameter "{name}" is missing.')


def malformed(name: str) -> Refusal:
    """Refuse a parameter that cannot be read."""
    return Refusal(400, f'The parameter "{name}" was malformed.')


def missing_scope(scope: str) -> Refusal:
    """Refuse a token that was not granted what the request needs."""
    return Refusal(401, f"Missing scope: {scope}")
