"""The deployments that are measured, as text. Owns their shape; writes and saves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

CARD = "name: Npc {number}\ndescription: The keeper of inn number {number}, who has seen too much.\npersonality: wry\n"
ANSWER = "The mill? Nobody goes there since the flood, {{user}}."


def channel_id(bot: int, number: int) -> str:
    """Return the id of a channel of the loopback Discord."""
    return str(100_000_000_000_000_000 + bot * 10_000_000 + number)


@dataclass(frozen=True, slots=True)
class Deployment:
    """`channels` on Discord and as many bindings of local rooms, for `agents`; `turned` gives one channel to another."""

    home: Path
    where: Mapping[str, str]
    channels: int
    bindings: int = 0
    agents: int = 10
    model: str = "scripted"
    acknowledge: str = "off"
    discord: bool = True
    turned: int = -1
    extra: int = 0

    def text(self) -> str:
        """Return the file."""
        return "\n".join([*self._head(), *self._agents(), *self._channels(), *self._bindings(), ""])

    def cards(self) -> dict[str, str]:
        """Return each card's text by its file's name."""
        return {f"npc{number}.yaml": CARD.format(number=number) for number in range(self.agents)}

    def written(self, folder: Path) -> Path:
        """Write it with its cards into a folder; return the file."""
        cards = folder / "characters"
        cards.mkdir(parents=True, exist_ok=True)
        for name, text in self.cards().items():
            (cards / name).write_text(text)
        file = folder / "bench.yaml"
        file.write_text(self.text())
        return file

    def with_turn(self, turn: int) -> Deployment:
        """Return the deployment after edit number `turn`: a channel changes hands, and now and then a room is opened."""
        return replace(self, turned=turn, extra=turn // 4)

    def _head(self) -> list[str]:
        model = (
            ["  default:", "    provider: scripted", f'    otherwise: "{ANSWER}"']
            if self.model == "scripted"
            else [
                *("  default:", "    provider: openai", "    name: loopback", f"    base_url: {self.where['model']}"),
                *(f"    api_key: {self.where['model_key']}", "    concurrency: 1000"),
            ]
        )
        discord = [
            *(
                "  discord:",
                "    token: bench-token-ours",
                f"    acknowledge: {self.acknowledge}",
                "    persona: 'off'",
            ),
            *(f"    api_base: {self.where['api_base']}", f"    gateway: {self.where['gateway']}"),
        ]
        return [
            *("version: 1", "bot_name: bench", f"data_home: {self.home}", "server: {port: 0}", "messaging:"),
            "  local: {enabled: true}",
            *(discord if self.discord else []),
            *("models:", *model),
            "memory: {extract_with: off}",  # a second call of the model for each answer would be measured otherwise
        ]

    def _agents(self) -> list[str]:
        return ["agents:", *(f"  npc{i}: {{character: npc{i}, respond: always}}" for i in range(self.agents))]

    def _channels(self) -> list[str]:
        platform = "discord" if self.discord else "local"
        lines = [
            f'  - {{platform: {platform}, channel_id: "{channel_id(0, i)}", channel_name: room-{i}, agent_id: {self._agent(i)}}}'
            for i in range(self.channels)
        ]
        return ["channels:", *lines]

    def _agent(self, number: int) -> str:
        turns, turned = divmod(self.turned, self.channels)
        shift = 1 + turns % (self.agents - 1) if self.turned >= 0 and number == turned else 0
        return f"npc{(number + shift) % self.agents}"

    def _bindings(self) -> list[str]:
        count = self.bindings + self.extra
        lines = [
            f"  - {{agent_id: npc{i % self.agents}, channel: local, chat_id: table-{i}, require_mention: true}}"
            for i in range(count)
        ]
        return ["bindings:", *lines] if lines else []
