"""The refusals Discord answers with: HTTP status, JSON error code and words in one value.

Owns the table of codes. Never decides when one applies.
Source: Discord's "Opcodes and Status Codes" and "Reference: Error Messages".
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]


class Refusal(Exception):
    """Carry one JSON error answer: `status`, `code`, `text` and, for a form, the nested `errors`."""

    def __init__(self, status: int, code: int, text: str, errors: Json | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.errors = errors

    def body(self) -> Json:
        body: Json = {"message": self.text, "code": self.code}
        return body if self.errors is None else {**body, "errors": self.errors}


# (status, code, text); raised as `refuse(UNKNOWN_CHANNEL)` so that every raise is a new exception.
_Row = tuple[int, int, str]
UNAUTHORIZED: Final[_Row] = (401, 0, "401: Unauthorized")
NOT_FOUND: Final[_Row] = (404, 0, "404: Not Found")
METHOD_NOT_ALLOWED: Final[_Row] = (405, 0, "405: Method Not Allowed")
UNKNOWN_CHANNEL: Final[_Row] = (404, 10003, "Unknown Channel")
UNKNOWN_GUILD: Final[_Row] = (404, 10004, "Unknown Guild")
UNKNOWN_MEMBER: Final[_Row] = (404, 10007, "Unknown Member")
UNKNOWN_MESSAGE: Final[_Row] = (404, 10008, "Unknown Message")
UNKNOWN_USER: Final[_Row] = (404, 10013, "Unknown User")
UNKNOWN_EMOJI: Final[_Row] = (400, 10014, "Unknown Emoji")
UNKNOWN_WEBHOOK: Final[_Row] = (404, 10015, "Unknown Webhook")
UNKNOWN_INTERACTION: Final[_Row] = (404, 10062, "Unknown interaction")
NOT_YOUR_APPLICATION: Final[_Row] = (403, 20012, "You are not authorized to perform this action on this application")
TOO_MANY_WEBHOOKS: Final[_Row] = (400, 30007, "Maximum number of webhooks reached (15)")
TOO_MANY_REACTIONS: Final[_Row] = (400, 30010, "Maximum number of reactions reached (20)")
TOO_MANY_COMMANDS: Final[_Row] = (400, 30032, "Maximum number of application commands reached (100)")
TOO_LARGE: Final[_Row] = (413, 40005, "Request entity too large")
ALREADY_ANSWERED: Final[_Row] = (400, 40060, "Interaction has already been acknowledged.")
MISSING_ACCESS: Final[_Row] = (403, 50001, "Missing Access")
NOT_IN_A_DM: Final[_Row] = (403, 50003, "Cannot execute action on a DM channel")
NOT_YOUR_MESSAGE: Final[_Row] = (403, 50005, "Cannot edit a message authored by another user")
EMPTY_MESSAGE: Final[_Row] = (400, 50006, "Cannot send an empty message")
CANNOT_DM_USER: Final[_Row] = (403, 50007, "Cannot send messages to this user")
MISSING_PERMISSIONS: Final[_Row] = (403, 50013, "Missing Permissions")
WRONG_CHANNEL_TYPE: Final[_Row] = (400, 50024, "Cannot execute action on this channel type")
BAD_WEBHOOK_TOKEN: Final[_Row] = (401, 50027, "Invalid Webhook Token")
INVALID_RECIPIENT: Final[_Row] = (400, 50033, "Invalid Recipient(s)")
BAD_API_VERSION: Final[_Row] = (400, 50041, "Invalid API version specified")
INVALID_JSON: Final[_Row] = (400, 50109, "The request body contains invalid JSON.")
NO_FORUM: Final[_Row] = (400, 220003, "Webhooks can only create threads in forum channels")
NO_HISTORY_NO_REPLY: Final[_Row] = (
    400,
    160002,
    "You cannot reply without permission to read message history",
)


def refuse(row: _Row) -> Refusal:
    return Refusal(*row)


def invalid_form(path: str, code: str, text: str) -> Refusal:
    """Refuse one field of a form with 50035; `path` is dotted (`allowed_mentions.users`), empty for the form itself."""
    errors: Json = {"_errors": [{"code": code, "message": text}]}
    for key in reversed(path.split(".") if path else []):
        errors = {key: errors}
    return Refusal(400, 50035, "Invalid Form Body", errors)
