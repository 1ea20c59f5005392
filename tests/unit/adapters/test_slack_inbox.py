"""What Slack delivers again, and again hours later, meets the inbox that the program really has."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from homunculus.model import Message, Receipt
from homunculus.runtime.state import State
from tests.unit.adapters.slack_stage import ALL, laid


class Inbox:
    """Record what an adapter delivers, and count what came of it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.receipts: Counter[Receipt] = Counter()
        self.mentioned: set[bool] = set()

    async def deliver(self, message: Message) -> Receipt:
        new = await self.state.record(message, "kovach")
        receipt = Receipt.RECORDED if new else Receipt.DUPLICATE
        self.receipts[receipt] += 1
        self.mentioned.add(message.mentioned)
        return receipt


async def test_a_message_its_mention_and_a_redelivery_hours_later_are_answered_once(tmp_path: Path) -> None:
    now = time.time()
    async with laid() as table:
        for life, hours in enumerate((0, 5)):
            state = await State.open(tmp_path / "inbox.sqlite", clock=lambda late=hours: now + 3600 * late)  # type: ignore[misc]  # mypy infers no lambda with a default
            inbox, adapter = Inbox(state), table.adapter()
            try:
                await adapter.open(inbox.deliver)
                await adapter.listen(ALL)
                if life == 0:
                    said = table.server.post(table.tavern, table.ana, f"hello <@{table.bot.user_id}>")
                for _ in range(2):
                    table.server.redeliver(said)
                await table.server.wait_for(lambda s: s.unacknowledged == 0)
            finally:
                await adapter.aclose()
                await state.aclose()
            new = {Receipt.RECORDED: 1} if life == 0 else {}
            assert inbox.receipts == {**new, Receipt.DUPLICATE: 3 if life == 0 else 2}
            assert inbox.mentioned == {True}
