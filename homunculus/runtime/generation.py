"""One applied deployment, ready to run: routes, agents, and loans of what they share. Counted by the turns that use it.

Owns its loans and gives them back when it is retired and the last turn has left it; never reads a later deployment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from homunculus.interfaces import ChatModel, Namespace
from homunculus.model import AdapterSpec, Agent, AgentSpec, Deployment, ModelSpec, Persona, RulesetSpec
from homunculus.runtime.pool import Pool
from homunculus.runtime.routes import Routes

_BREATH = 64  # agents
BuildModel = Callable[[ModelSpec], ChatModel]
BuildNamespace = Callable[[Deployment, AgentSpec], Namespace]


@dataclass(slots=True)
class Generation:
    """Routes and agents of one applied deployment. `turns` run on it; once retired, the last of them frees its loans."""

    number: int
    deployment: Deployment
    routes: Routes
    agents: dict[str, Agent] = field(default_factory=dict)
    models: dict[ModelSpec, ChatModel] = field(default_factory=dict)
    namespaces: dict[str, Namespace] = field(default_factory=dict)  # by agent id
    extractor: ChatModel | None = None  # turns talk into facts
    turns: int = 0
    retired: bool = False
    _loans: list[Callable[[], None]] = field(default_factory=list)

    @classmethod
    def of(cls, number: int, deployment: Deployment) -> Generation:
        """Compute what a deployment means; nothing is borrowed yet. Pure: it may run in a thread."""
        agents = {spec.id: resolved(deployment, spec) for spec in deployment.agents}
        return cls(number, deployment, Routes.of(deployment), agents)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep everything of this generation alive for the length of a turn."""
        self.turns += 1
        try:
            yield
        finally:
            self.turns -= 1
            self._free_if_over()

    def retire(self) -> None:
        """Say that no further turn will begin here."""
        self.retired = True
        self._free_if_over()

    def models_of(self, agent: Agent) -> tuple[ChatModel, ...]:
        """Return the live models of an agent: its own, then its fallbacks."""
        return tuple(self.models[spec] for spec in agent.models)

    def persona(self, spec: AdapterSpec, abilities: frozenset[str]) -> Persona:
        """Decide how an NPC shows its name through an instance: as the platform can, else before the text if it must.

        `auto` puts the name before the text only where several NPCs share the bot. An adapter that is able shows `webhook`
        and `auto` alike, and where it may not, `webhook` falls back to the name before the text, `auto` to nothing.
        """
        if spec.persona in ("off", "prefix"):
            return spec.persona
        named = spec.persona == "webhook" or len(self.routes.agents(spec.key)) > 1
        if "persona" in abilities:
            return "webhook" if named else "auto"
        return "prefix" if named else "off"

    def lend(self, give_back: Callable[[], None]) -> None:
        """Remember a loan."""
        self._loans.append(give_back)

    def _free_if_over(self) -> None:
        if self.retired and not self.turns:
            loans, self._loans = self._loans, []
            for give_back in loans:
                give_back()


class Preparation:
    """Make the next generation ready while the present one runs. Touches nothing live; what fails is given back."""

    def __init__(self, build_model: BuildModel, build_namespace: BuildNamespace) -> None:
        self._build_model, self._build_namespace = build_model, build_namespace
        self.models: Pool[ChatModel] = Pool("model")
        self.namespaces: Pool[Namespace] = Pool("memory namespace")

    async def furnish(self, generation: Generation) -> None:
        """Borrow or build all that the agents of a generation need. Raises what a build or an `open` raises."""
        try:
            for ordinal, agent in enumerate(generation.agents.values()):
                await self._lend_namespace(generation, agent.spec)
                for model in agent.models:
                    await self._lend_model(generation, model)
                if ordinal % _BREATH == 0:
                    await asyncio.sleep(0)  # where all is lent already nothing else would let the loop go on
            if (extracting := extracting_model(generation.deployment)) is not None:
                await self._lend_model(generation, extracting)
                generation.extractor = generation.models[extracting]
        except BaseException:
            generation.retire()
            raise

    async def aclose(self) -> None:
        """Close whatever is still lent."""
        await self.models.aclose()
        await self.namespaces.aclose()

    async def _lend_namespace(self, generation: Generation, spec: AgentSpec) -> None:
        deployment = generation.deployment
        key = (deployment.data_home, deployment.bot_name, spec.namespace, deployment.memory)

        async def build() -> Namespace:
            namespace = self._build_namespace(deployment, spec)
            try:
                await namespace.open()
            except BaseException:
                await namespace.aclose()
                raise
            return namespace

        generation.namespaces[spec.id] = await self.namespaces.take(key, build)
        generation.lend(_returning(self.namespaces, key))

    async def _lend_model(self, generation: Generation, spec: ModelSpec) -> None:
        if spec in generation.models:
            return

        async def build() -> ChatModel:
            return self._build_model(spec)

        generation.models[spec] = await self.models.take(spec, build)
        generation.lend(_returning(self.models, spec))


def resolved(deployment: Deployment, spec: AgentSpec) -> Agent:
    """Return an agent with its ruleset and its chain of models: its own, then fallbacks, depth first, each once."""
    ruleset = next((r for r in deployment.rulesets if r.name == spec.ruleset), RulesetSpec(spec.ruleset))
    chain: dict[str, ModelSpec] = {}

    def follow(model_id: str) -> None:
        model = deployment.model(model_id)
        if model is not None and model_id not in chain:
            chain[model_id] = model
            for fallback in model.fallback:
                follow(fallback)

    follow(spec.model)
    return Agent(spec, ruleset, tuple(chain.values()))


def extracting_model(deployment: Deployment) -> ModelSpec | None:
    """Return the model that turns talk into facts; None when that is off or there is nothing to keep them."""
    kept = deployment.agents and deployment.memory.backend != "none"
    return deployment.model(deployment.memory.extract_with) if kept else None


def _returning(pool: Pool[ChatModel] | Pool[Namespace], key: Hashable) -> Callable[[], None]:
    return lambda: pool.release(key)
