"""Cuts a prompt to a small model's context. Pure: keeps the stable beginning and the newest end, drops the oldest between.

Costs are estimates on the safe side; the engine knows the true count and says when a prompt is still too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from homunculus.model import ChatMessage

PER_MESSAGE = 8  # tokens that a chat template adds around one message
_ASCII_PER_TOKEN = 3.0  # measured 4.0 for English prose with SmolLM2; names and numbers cost more
_TOKENS_PER_BYTE = 0.7  # measured 0.63 a byte for Chinese, which this vocabulary hardly knows
_CUT = "…"


def cost(text: str) -> int:
    """Estimate the tokens of a text, rather too many than too few."""
    size = len(text.encode("utf-8", "replace"))
    plain = sum(character.isascii() for character in text)
    return round(plain / _ASCII_PER_TOKEN + (size - plain) * _TOKENS_PER_BYTE + 0.5)


def fitted(messages: Sequence[ChatMessage], stable: int, limit: int) -> tuple[ChatMessage, ...]:
    """Return the messages that cost at most `limit` tokens.

    The first `stable` stay whole up to half of the limit, each cut at its end beyond that; the newest of the others
    stays in any case, cut at its front if it must be; older ones go first.
    """
    fixed, rest = messages[:stable], messages[stable:]
    head = _head(fixed, limit // 2 if rest else limit, limit - sum(map(_price, rest)))
    left = limit - sum(map(_price, head))
    kept: list[ChatMessage] = []
    for message in reversed(rest):
        if _price(message) > left:
            if not kept and left > PER_MESSAGE:
                kept.append(_shortened(message, left - PER_MESSAGE, keep_end=True))
            break
        kept.append(message)
        left -= _price(message)
    return (*head, *reversed(kept))


def _head(fixed: Sequence[ChatMessage], least: int, spare: int) -> list[ChatMessage]:
    """Return the stable messages within what the rest leaves over, and never less than `least`."""
    left = max(least, spare)
    head = []
    for message in fixed:
        if left < PER_MESSAGE:
            break
        head.append(_shortened(message, left - PER_MESSAGE, keep_end=False))
        left -= _price(head[-1])
    return head


def _price(message: ChatMessage) -> int:
    return cost(message.content) + PER_MESSAGE


def _shortened(message: ChatMessage, limit: int, *, keep_end: bool) -> ChatMessage:
    """Return the message with as much of its text as `limit` tokens buy."""
    text = message.content
    if cost(text) <= limit:
        return message
    few, many = 0, len(text)
    while few < many:
        middle = (few + many + 1) // 2
        piece = _CUT + text[len(text) - middle :] if keep_end else text[:middle] + _CUT
        few, many = (middle, many) if cost(piece) <= limit else (few, middle - 1)
    if few == 0:
        return replace(message, content="")
    return replace(message, content=_CUT + text[len(text) - few :] if keep_end else text[:few] + _CUT)
