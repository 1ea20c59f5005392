"""Messages and replies as the tests of the state database say them."""

from __future__ import annotations

from homunculus.model import Address, Author, Message, Reply

DAY = 86_400.0


def address(place: str = "tavern", platform: str = "discord") -> Address:
    return Address(
        platform, f"{platform}:keeper", "bot-1", place, space="guild", label=f"{platform}:keeper:guild:{place}"
    )


def message(
    id_: str, text: str = "Who is there?", place: str = "tavern", time: float = 1000.0, **more: object
) -> Message:
    return Message(id_, address(place), Author("u1", "Zoë"), text, time=time, **more)  # type: ignore[arg-type]


def reply(id_: str, text: str = "It is I, Kovach.", agent_id: str = "kovach") -> Reply:
    return Reply(id_, agent_id, "Kovach", text)
