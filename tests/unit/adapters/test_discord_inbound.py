"""What cannot be recorded waits, in its order: Discord delivers a message once and takes no confirmation."""

from __future__ import annotations

import asyncio

import pytest

from homunculus.adapters.discord import inbound
from homunculus.adapters.discord.inbound import Inbound
from homunculus.errors import NotReady
from homunculus.model import Address, Author, Message, Receipt

ADDRESS = Address("discord", "discord", "900", "41")


def message(number: int) -> Message:
    return Message(str(number), ADDRESS, Author("1", "Ana"), f"word {number}", time=float(number))


class Disk:
    """Records what it is given, unless it is full; some messages are more than it can bear."""

    def __init__(self) -> None:
        self.full = False
        self.recorded: list[str] = []
        self.tried = 0
        self.changed = asyncio.Condition()

    async def __call__(self, message: Message) -> Receipt:
        async with self.changed:
            self.tried += 1
            self.changed.notify_all()
            if self.full:
                raise NotReady("the disk is full")
            if message.text == "word 13":
                raise ValueError("a mistake of ours")
            self.recorded.append(message.id)
            return Receipt.RECORDED

    async def until(self, tried: int = 0, recorded: int = 0) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(lambda: self.tried >= tried and len(self.recorded) >= recorded)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(inbound, "LONGEST_WAIT", 0.02)


async def test_what_a_full_disk_refused_is_recorded_in_order_once_there_is_room() -> None:
    disk = Disk()
    disk.full = True
    waiting = Inbound("discord", disk)
    for number in range(3):
        waiting.put(message(number))
    await disk.until(tried=5)  # each once, the first of them again
    waiting.put(message(3))
    waiting.put(message(4))
    disk.full = False
    await disk.until(recorded=5)
    waiting.put(message(5))
    await disk.until(recorded=6)
    await waiting.aclose()
    assert disk.recorded == ["0", "1", "2", "3", "4", "5"]


async def test_a_message_that_cannot_be_recorded_at_all_holds_up_no_other() -> None:
    disk = Disk()
    disk.full = True
    waiting = Inbound("discord", disk)
    for number in (12, 13, 14):
        waiting.put(message(number))
    await disk.until(tried=4)
    disk.full = False
    await disk.until(recorded=2)
    await waiting.aclose()
    assert disk.recorded == ["12", "14"]


async def test_closing_ends_the_waiting() -> None:
    disk = Disk()
    disk.full = True
    waiting = Inbound("discord", disk)
    waiting.put(message(1))
    await disk.until(tried=3)
    await waiting.aclose()
    tried = disk.tried
    await asyncio.sleep(0.05)  # nothing may happen now
    assert disk.tried == tried


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "MOST_WAITING", 2)
    disk = Disk()
    disk.full = True
    waiting = Inbound("discord", disk)
    for number in range(5):
        waiting.put(message(number))
    await disk.until(tried=6)
    disk.full = False
    await disk.until(recorded=2)
    await waiting.aclose()
    assert disk.recorded == ["0", "1"]
