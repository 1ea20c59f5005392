"""A post of ours can be changed by whoever made it, also after a new connection, and an edit pings nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homunculus.errors import Refused
from homunculus.model import Reply
from tests.unit.adapters.conftest import Table


def reply(text: str, persona: str) -> Reply:
    return Reply("t1.0", "kovach-eod", "Kovach", text, persona=persona)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("persona", "final"),
    [("off", "The cellar is shut."), ("prefix", "**Kovach:** The cellar is shut."), ("webhook", "The cellar is shut.")],
)
@pytest.mark.parametrize("anew", [False, True])
async def test_a_post_is_changed_by_who_made_it(table: Table, persona: str, final: str, anew: bool) -> None:
    begin, whole = reply("The cellar", persona), reply("The cellar is shut.", persona)
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), begin)
        if not anew:
            await adapter.edit(table.address(), posted, whole)
    if anew:
        async with table.open() as adapter:
            await adapter.edit(table.address(), posted, whole)
    [message] = table.server.messages(table.tavern)
    assert message.content == final
    assert (message.webhook_id is not None) == (persona == "webhook")


async def test_where_the_name_fell_back_to_the_text_an_edit_keeps_it_there(table: Table) -> None:
    table.server.deny(table.bot, table.tavern, "manage_webhooks")
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), reply("The cellar", "webhook"))
        await adapter.edit(table.address(), posted, reply("The cellar is shut.", "webhook"))
    [message] = table.server.messages(table.tavern)
    assert message.content == "**Kovach:** The cellar is shut."


@pytest.mark.parametrize("persona", ["off", "webhook"])
async def test_an_edit_pings_nobody(table: Table, persona: str) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), reply("The", persona))
        await adapter.edit(table.address(), posted, reply(f"The <@{table.ana.id}> @everyone", persona))
    [message] = table.server.messages(table.tavern)
    assert message.pinged == frozenset()
    assert not message.mention_everyone


async def test_a_post_that_was_deleted_cannot_be_changed(table: Table) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), reply("The cellar", "off"))
        table.server.delete(table.server.messages(table.tavern)[-1])
        with pytest.raises(Refused):
            await adapter.edit(table.address(), posted, replace(reply("x", "off")))
