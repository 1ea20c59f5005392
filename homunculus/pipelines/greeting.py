"""What a character says when it comes to a place: its card's greeting, spoken to nobody in particular. Pure."""

from __future__ import annotations

from homunculus.interfaces import Expand
from homunculus.model import Agent

_YOU = {"zh": "你", "ja": "あなた", "ko": "당신", "ru": "вы", "de": "dir", "fr": "vous", "es": "ti"}


def greeting(agent: Agent, expand: Expand) -> str:
    """Return the greeting as it is said, "" for none; `{{user}}` is whoever reads it, in the card's language."""
    card = agent.character
    user = _YOU.get(card.language.split("-")[0].lower(), "you")
    return expand(card.greeting, char=card.name, user=user).strip()
