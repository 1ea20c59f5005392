"""`models` and `memory`: which models there are and how memories are kept. Never loads or calls one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import regex

from homunculus.config.draft import Draft, switch, text, texts
from homunculus.config.files import is_file
from homunculus.config.words import Path, did_you_mean, listed, render, shown
from homunculus.model import BudgetSpec, MemorySpec, ModelSpec, PriceSpec, QmdSpec, ScriptedReply

DEFAULT = "default"


def resolve_models(
    draft: Draft, providers: Collection[str], requires: Callable[[str], tuple[str, ...]]
) -> dict[str, ModelSpec]:
    """Resolve every model by id; `default` is there without being written."""
    ids = draft.known("models") | {DEFAULT}
    found = [_model(draft, path, entry, ids, providers) for path, entry in draft.named("models")]
    for path, entry in draft.named("models"):
        provider = str(entry.get("provider"))
        for key in requires(provider) if provider in providers else ():
            if not entry.get(key) and not draft.doubtful((*path, key)):
                draft.findings.key_error(path, f'{provider} needs "{key}"', f"write {key}: under it")
    models = {model.id: model for model in found if model}
    if DEFAULT not in ids & models.keys() and not draft.doubtful(("models",)):
        models.setdefault(DEFAULT, ModelSpec(DEFAULT, "embedded", path="models"))
    return models


def _model(
    draft: Draft, path: Path, entry: dict[str, Any], ids: Collection[str], providers: Collection[str]
) -> ModelSpec | None:
    model_id = str(path[-1])
    _check_id(draft, path, model_id)
    _check_temperature(draft, path, entry)
    provider = entry.get("provider")
    if provider is not None and provider not in providers:
        fix = did_you_mean(provider, providers, f"available: {listed(sorted(providers))}")
        draft.findings.error((*path, "provider"), f"no provider {shown(provider)} is installed", fix)
    fallback = texts(entry.get("fallback"))
    for index, name in enumerate(fallback):
        here = (*path, "fallback", index)
        if draft.refers(here, name, "model", ids, "add it under models") and name == model_id:
            draft.findings.warn(here, "a model that falls back to itself tries the same again", "drop it")
    known = {"max_tokens", "temperature", "timeout_seconds", "concurrency", "otherwise", "name", "base_url"}
    settings: dict[str, Any] = {key: value for key, value in entry.items() if key in known}
    if provider is None:
        return None
    return ModelSpec(
        id=model_id,
        provider=provider,
        agent_id=text(entry.get("agent_id", "")),
        api_key=draft.secrets.resolve(entry.get("api_key"), (*path, "api_key"), unresolved="calls go to the fallback"),
        fallback=fallback,
        budget=BudgetSpec(**_known(entry.get("budget", {}))),
        price=_price(draft, path, entry),
        weights=_weights(draft, path, entry.get("weights")),
        replies=tuple(_replies(draft, (*path, "replies"), entry.get("replies", []))),
        path=render(path),
        **settings,
    )


def _price(draft: Draft, path: Path, entry: dict[str, Any]) -> PriceSpec | None:
    """Return what a model costs, and warn of a limit that nothing can be held against."""
    budget, written = entry.get("budget"), entry.get("price")
    limited = isinstance(budget, dict) and "cost_per_day" in budget
    if limited and written is None and not draft.doubtful((*path, "price")):
        fix = "write price: {input: 1.0, output: 5.0} beside budget, with what a million tokens cost"
        draft.findings.warn((*path, "budget", "cost_per_day"), "without a price this limits nothing", fix)
    known = _known(written) if isinstance(written, dict) else {}
    return PriceSpec(**known) if {"input", "output"} <= known.keys() else None


def _check_temperature(draft: Draft, path: Path, entry: dict[str, Any]) -> None:
    if entry.get("provider") == "anthropic" and "temperature" in entry:
        fault = "anthropic takes no temperature, so none is sent"
        draft.findings.warn((*path, "temperature"), fault, "drop it")


def _check_id(draft: Draft, path: Path, model_id: str) -> None:
    if not model_id.strip() or model_id == "off":
        fault = "a model needs a name" if model_id != "off" else '"off" stands for no model'
        draft.findings.key_error(path, fault, "give it another id")


def _known(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if not key.startswith("x-")}


def _weights(draft: Draft, path: Path, written: str | None) -> str:
    if written is None:
        return ""
    try:
        found = draft.files.beside(written)
    except ValueError:
        draft.findings.error((*path, "weights"), "not a path that can be opened", "write the path of a .gguf file")
        return ""
    if not is_file(found):
        draft.findings.warn(
            (*path, "weights"), f"{draft.files.shown(found)} does not exist", "put the .gguf file there"
        )
    return str(found)


def _replies(draft: Draft, path: Path, entries: list[Any]) -> list[ScriptedReply]:
    replies = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"when", "say"} <= entry.keys():
            continue
        try:
            regex.compile(entry["when"])
        except (regex.error, OverflowError, RecursionError) as error:
            reason = getattr(error, "msg", "it is too large")
            draft.findings.error(
                (*path, index, "when"), f"not a regular expression: {reason}", "escape ( [ * + ? with \\"
            )
        replies.append(ScriptedReply(entry["when"], entry["say"]))
    return replies


def resolve_memory(draft: Draft, models: dict[str, ModelSpec], backends: Collection[str]) -> MemorySpec:
    """Resolve how memories are kept; `extract_with` is "" when it is off or would be an embedded model."""
    entry = draft.section("memory")
    backend = entry.get("backend", "sqlite")
    if "backend" in entry and backend not in backends:
        fix = did_you_mean(backend, backends, f"available: {listed(sorted(backends))}")
        draft.findings.error(("memory", "backend"), f"no memory backend {shown(backend)} is installed", fix)
    written = text(switch(entry.get("extract_with"), DEFAULT))
    if written != "off" and "extract_with" in entry:
        ids = draft.known("models") | {DEFAULT}
        draft.refers(("memory", "extract_with"), written, "model", ids, "add it under models, or write off")
    model = models.get(written)
    return MemorySpec(
        backend=backend,
        top_k=entry.get("top_k", 10),
        embeddings=switch(entry.get("embeddings"), "auto"),
        extract_with=written if model is not None and model.provider != "embedded" else "",
        qmd=QmdSpec(**_known(entry.get("qmd", {}))),
    )
