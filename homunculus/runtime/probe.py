"""Asks a routing table who would answer: `homunculus route`, the API and route probes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from homunculus.errors import Refused
from homunculus.model import Address, Author, Deployment, Message, runtime_key
from homunculus.runtime.routes import Routes, RuleCheck


@dataclass(frozen=True, slots=True)
class Probe:
    """The arguments of `homunculus route`: a message that nobody sent."""

    platform: str
    adapter: str | None = None
    guild: str | None = None
    workspace: str | None = None
    channel: str | None = None
    chat: str | None = None
    user: str = ""
    dm: bool = False
    mention: bool = False

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Probe:
        """Build one from arguments by name; absent and null ones keep their defaults."""
        return cls(**{name: value for name, value in arguments.items() if value is not None})

    def message(self) -> Message:
        """Return the message it stands for."""
        name = None if self.adapter in (None, "default") else self.adapter
        place = self.channel or self.chat or (self.user if self.dm else "")
        address = Address(
            self.platform,
            runtime_key(self.platform, name),
            account="",
            place=place,
            space=self.guild or self.workspace,
            direct=self.dm,
        )
        return Message("probe", address, Author(self.user, self.user), "probe", mentioned=self.mention)


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """Who would answer, why, and how every rule fared."""

    agent_id: str | None
    reason: str
    rules: tuple[RuleCheck, ...]

    def shown(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "agent_id": self.agent_id,
            "reason": self.reason,
            "rules": [
                {
                    "path": check.binding.path,
                    "agent_id": check.binding.agent_id,
                    "matches": check.matches,
                    "failing": check.failing,
                }
                for check in self.rules
            ],
        }


def ask(
    routes: Routes, deployment: Deployment, probe: Probe, folds_case: Callable[[str], bool] = lambda platform: False
) -> ProbeAnswer:
    """Hold a probe against a table. Raise Refused when it names an instance that the deployment does not have.

    `folds_case` tells of a platform whether its places are the same in any case, as its adapter delivers them in lower case.
    """
    if folds_case(probe.platform) and probe.channel:
        probe = replace(probe, channel=probe.channel.lower())
    key = probe.message().address.adapter
    known = [spec.key for spec in deployment.adapters]
    if key not in known:
        near = get_close_matches(key, known, 1)
        fix = f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(known) or 'none'}"
        raise Refused(f'no adapter "{key}" in the deployment; {fix}')
    message = probe.message()
    route = routes.match(message)
    return ProbeAnswer(route.agent_id, route.reason, routes.explain(message))
