"""The refusals Telegram answers with: HTTP status, description and response parameters in one value.

Owns the wording. Never decides when one applies. Telegram has no error codes besides the status: the description is all.
Source: the Bot API's "Making requests" and "ResponseParameters", and the descriptions of the telegram-bot-api server.
"""

from __future__ import annotations

import math
from typing import Any, Final

Json = dict[str, Any]


class Refusal(Exception):
    """Carry one error answer: `status`, `description` and, where Telegram has something to add, `parameters`."""

    def __init__(self, status: int, description: str, parameters: Json | None = None) -> None:
        super().__init__(description)
        self.status, self.description, self.parameters = status, description, parameters

    def body(self) -> Json:
        body: Json = {"ok": False, "error_code": self.status, "description": self.description}
        return body if self.parameters is None else {**body, "parameters": self.parameters}


_Row = tuple[int, str]
UNAUTHORIZED: Final[_Row] = (401, "Unauthorized")
NOT_FOUND: Final[_Row] = (404, "Not Found")
NO_SUCH_METHOD: Final[_Row] = (404, "Not Found: method not found")
SECOND_POLLER: Final[_Row] = (
    409,
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
)
CHAT_EMPTY: Final[_Row] = (400, "Bad Request: chat_id is empty")
CHAT_NOT_FOUND: Final[_Row] = (400, "Bad Request: chat not found")
USER_NOT_FOUND: Final[_Row] = (400, "Bad Request: user not found")
THREAD_NOT_FOUND: Final[_Row] = (400, "Bad Request: message thread not found")
TOPIC_CLOSED: Final[_Row] = (400, "Bad Request: TOPIC_CLOSED")
NO_RIGHTS: Final[_Row] = (400, "Bad Request: not enough rights to send text messages to the chat")
TEXT_EMPTY: Final[_Row] = (400, "Bad Request: message text is empty")
TOO_LONG: Final[_Row] = (400, "Bad Request: message is too long")
REPLY_NOT_FOUND: Final[_Row] = (400, "Bad Request: message to be replied not found")
EDIT_NOT_FOUND: Final[_Row] = (400, "Bad Request: message to edit not found")
NOT_EDITABLE: Final[_Row] = (400, "Bad Request: message can't be edited")
NOT_MODIFIED: Final[_Row] = (
    400,
    (
        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a "
        "current content and reply markup of the message"
    ),
)
REACT_NOT_FOUND: Final[_Row] = (400, "Bad Request: message to react not found")
REACTION_INVALID: Final[_Row] = (400, "Bad Request: REACTION_INVALID")
TOO_MANY_REACTIONS: Final[_Row] = (400, "Bad Request: REACTIONS_TOO_MANY")
WRONG_ACTION: Final[_Row] = (400, "Bad Request: wrong parameter action in request")
COMMAND_INVALID: Final[_Row] = (400, "Bad Request: BOT_COMMAND_INVALID")
COMMAND_DESCRIPTION: Final[_Row] = (400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
TOO_MANY_COMMANDS: Final[_Row] = (400, "Bad Request: BOT_COMMANDS_TOO_MUCH")
BLOCKED: Final[_Row] = (403, "Forbidden: bot was blocked by the user")
KICKED_GROUP: Final[_Row] = (403, "Forbidden: bot was kicked from the group chat")
KICKED_SUPERGROUP: Final[_Row] = (403, "Forbidden: bot was kicked from the supergroup chat")
BOT_TO_BOT: Final[_Row] = (403, "Forbidden: bot can't send messages to bots")


def refuse(row: _Row) -> Refusal:
    return Refusal(*row)


def bad(text: str) -> Refusal:
    """Refuse a request whose parameters cannot be read."""
    return Refusal(400, f"Bad Request: {text}")


def limited(seconds: float) -> Refusal:
    """Refuse for so many seconds; Telegram counts them in whole ones."""
    wait = max(1, math.ceil(seconds))
    return Refusal(429, f"Too Many Requests: retry after {wait}", {"retry_after": wait})


def migrated(new: int) -> Refusal:
    """Refuse a group that became a supergroup, naming its new id."""
    text = "Bad Request: group chat was upgraded to a supergroup chat"
    return Refusal(400, text, {"migrate_to_chat_id": new})
