"""What a model said becomes posts whose ids come from the turn, the first quoting the message it answers."""

from __future__ import annotations

from homunculus.interfaces import Turn
from homunculus.model import Completion, Reply
from homunculus.pipelines.deliver import DeliverReply
from homunculus.pipelines.replies import replies
from tests.unit.pipelines.turns import said, turn


class Post:
    def __init__(self) -> None:
        self.posted: list[tuple[str, tuple[Reply, ...]]] = []

    async def post(self, turn: Turn, replies: tuple[Reply, ...]) -> tuple[str, ...]:
        self.posted.append((turn.id, replies))
        return tuple(f"sent-{reply.id}" for reply in replies)


async def test_a_reply_goes_to_the_outbox_and_its_ids_come_back() -> None:
    outbox, one = Post(), turn(said("Hi.", message_id="41"), said("You?", message_id="42"))
    one.completion = Completion("Evening.", "default", "scripted")
    await DeliverReply(outbox).run(one)
    assert one.sent == ("sent-t1.0",)
    [(turn_id, [reply])] = outbox.posted
    assert (turn_id, reply.id, reply.text, reply.quotes) == ("t1", "t1.0", "Evening.", "42")
    assert (reply.author, reply.agent_id) == ("Kovach", "kovach-eod")


def test_a_long_reply_is_several_posts_of_which_the_first_quotes() -> None:
    one = turn()
    one.limit = 40
    parts = replies(one, "One sentence here. " * 9)
    assert len(parts) > 1
    assert [part.id for part in parts] == [f"t1.{n}" for n in range(len(parts))]
    assert [part.quotes for part in parts] == ["1"] + [None] * (len(parts) - 1)
    assert all(len(part.text) <= 40 for part in parts)


def test_a_shown_name_leaves_room_for_itself() -> None:
    one = turn()
    one.limit, one.persona = 60, "prefix"
    assert all(len(f"**{part.author}:** {part.text}") <= 60 for part in replies(one, "word " * 100))
