"""`messaging`: which instances there are, with what credentials. Never opens one and never knows a platform by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from homunculus.config.draft import Draft, switch, text, texts
from homunculus.config.secrets import blank
from homunculus.config.words import Path, bare, did_you_mean, listed, render, shown
from homunculus.interfaces import Platform
from homunculus.model import AdapterSpec, Secret, runtime_key

ENDPOINTS = frozenset({"api_base", "auth_base", "file_base", "gateway"})
_RESERVED = "dm"  # `discord:dm:<user>` is a conversation


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance that resolved, and where it stands in the file."""

    spec: AdapterSpec
    path: Path


@dataclass(frozen=True, slots=True)
class Adapters:
    """Every instance of the file by runtime key, and how rules may name them."""

    instances: Mapping[str, Instance]
    draft: Draft
    sound: set[tuple[str, str | None]] = field(default_factory=set)  # rules may name these: checked once

    @property
    def specs(self) -> tuple[AdapterSpec, ...]:
        return tuple(instance.spec for instance in self.instances.values())

    def check(self, path: Path, platform: str, name: str | None) -> None:
        """Report a rule's instance that is not there or has no credentials. `path` is the rule's."""
        if (platform, name) in self.sound:
            return
        draft = self.draft
        block = ("messaging", platform)
        if draft.doubtful((*path, "adapter")) or draft.doubtful(block) or draft.doubtful((*block, "instances")):
            return
        found = self.instances.get(runtime_key(platform, name))
        if found is not None and (not found.spec.missing or self._doubtful_credentials(found)):
            self.sound.add((platform, name))
            return
        names = self._names(platform)
        if name is None:
            place = next((key for key in ("adapter", "platform", "channel") if key in self._entry(path)), "adapter")
            required = draft.platforms[platform].required
            keys = [render((*block, key)) for key in (found.spec.missing if found else required)]
            other = f", or say which with adapter: {listed([bare(name) for name in names])}" if names else ""
            fix = f"write {listed(keys, 'and')}{other}"
            draft.findings.error((*path, place), f"the default instance is not configured for {platform}", fix)
        elif found is not None:
            fix = f"write its {listed(found.spec.missing, 'and')}"
            draft.findings.error((*path, "adapter"), f"{shown(name)} has no credentials on {platform}", fix)
        elif name not in names:
            fix = did_you_mean(name, [*names, "default"], f"add it under messaging.{platform}.instances")
            draft.findings.error((*path, "adapter"), f"{shown(name)} is not configured for {platform}", fix)

    def _entry(self, path: Path) -> dict[str, Any]:
        section, index = path[0], path[1]
        entry: dict[str, Any] = self.draft.data[str(section)][index]
        return entry

    def _doubtful_credentials(self, found: Instance) -> bool:
        return all(self.draft.doubtful((*found.path, key)) for key in found.spec.missing)

    def _names(self, platform: str) -> list[str]:
        """List the names that were written, right or wrong."""
        written = self.draft.raw("messaging", platform, "instances")
        entries = written if isinstance(written, list) else []
        return [entry["name"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("name"), str)]


def resolve_adapters(draft: Draft) -> Adapters:
    """Resolve every instance; report names that clash and credentials that two enabled instances share."""
    instances: dict[str, Instance] = {}
    blocks = {str(path[1]): block for path, block in draft.named("messaging")}
    for name, platform in draft.platforms.items():
        if platform.default_on and name not in blocks and not draft.doubtful(("messaging", name)):
            blocks = {name: {}, **blocks}
    for name, block in blocks.items():
        path: Path = ("messaging", name)
        if (found := draft.platforms.get(name)) is None:
            known = listed(list(draft.platforms))
            draft.findings.key_error(path, f"no adapter for {shown(name)} is installed", f"installed here: {known}")
            continue
        for instance in _block(draft, found, block, path):
            instances[instance.spec.key] = instance
    _refuse_shared_credentials(draft, instances)
    return Adapters(instances, draft)


def _block(draft: Draft, platform: Platform, block: dict[str, Any], path: Path) -> Iterator[Instance]:
    endpoints = tuple((key, text(block[key])) for key in platform.endpoints if key in block)
    own = {key for key in block if key not in ENDPOINTS | {"instances", *platform.endpoints} and key[:2] != "x-"}
    if own or platform.default_on:
        yield Instance(_instance(draft, platform, None, block, path, endpoints), path)
    taken: dict[str, Path] = {}
    for index, entry in enumerate(block.get("instances") or ()):
        here = (*path, "instances", index)
        name = entry.get("name") if isinstance(entry, dict) else None
        if name is not None and _free(draft, name, (*here, "name"), taken):
            yield Instance(_instance(draft, platform, name, entry, here, endpoints), here)


def _free(draft: Draft, name: str, path: Path, taken: dict[str, Path]) -> bool:
    if name.casefold() == "default":
        draft.findings.error(path, f"{shown(name)} always means the default instance", "choose another name")
    elif name == _RESERVED:
        draft.findings.error(path, f"{shown(name)} stands for direct messages", "choose another name")
    elif name in taken:
        line = draft.findings.line(taken[name])
        draft.findings.error(path, f"the name {shown(name)} is taken on line {line}", "choose another name")
    else:
        taken[name] = path
        return True
    return False


def _instance(
    draft: Draft, platform: Platform, name: str | None, entry: dict[str, Any], path: Path, endpoints: Any
) -> AdapterSpec:
    enabled = entry.get("enabled", True)
    waits = f"{runtime_key(platform.name, name)} waits for it"
    credentials: list[tuple[str, Secret]] = []
    for key in platform.credentials:
        secret = draft.secrets.resolve(entry.get(key), (*path, key), needed=enabled, unresolved=waits)
        if secret is not None:
            credentials.append((key, secret))
    missing = tuple(key for key in platform.required if blank(entry.get(key)))
    if enabled and missing and not any(draft.doubtful((*path, key)) for key in missing):
        fix = f"write {listed(missing, 'and')}" + (
            "; nothing is inherited between instances" if name or "instances" in entry else ""
        )
        draft.findings.key_warn(path, f"{runtime_key(platform.name, name)} has no credentials and stays down", fix)
    bots = entry.get("allow_bot_messages", False)
    return AdapterSpec(
        platform=platform.name,
        name=name,
        enabled=enabled,
        credentials=tuple(credentials),
        missing=missing,
        connection=(*endpoints, *((key, text(entry[key])) for key in platform.login if key in entry)),
        options=tuple((key, "\n".join(map(_option, texts(entry[key])))) for key in platform.options if key in entry),
        dm_allowed_users=texts(entry.get("dm_allowed_users")),
        allow_bot_messages=bots if isinstance(bots, bool) else texts(bots),
        authority=texts(entry.get("authority")),
        persona=switch(entry.get("persona"), "auto"),
        acknowledge=switch(entry.get("acknowledge"), "auto"),
        path=render(path),
    )


def _option(value: str) -> str:
    return {"True": "true", "False": "false"}.get(value, value)


def _refuse_shared_credentials(draft: Draft, instances: Mapping[str, Instance]) -> None:
    """Report, at each of them, enabled instances that would be one account: each would steal the other's messages."""
    owners: dict[tuple[str, str, str], list[Instance]] = {}
    for instance in instances.values():
        spec = instance.spec
        for key, secret in spec.credentials:
            if spec.enabled and key in draft.platforms[spec.platform].required:
                # unresolved ones with one source will resolve to one value
                value = f"={_account(secret.value)}" if secret.value is not None else secret.source
                owners.setdefault((spec.platform, key, value), []).append(instance)
    for (_, key, _), several in owners.items():
        for instance in several if len(several) > 1 else ():
            other = next(found for found in several if found is not instance)
            place = f"{render((*other.path, key))} (line {draft.findings.line((*other.path, key))})"
            message = f"the same credential as {place}"
            draft.findings.error((*instance.path, key), message, "give each enabled instance an account of its own")


def _account(value: str) -> str:
    return value.strip().removeprefix("oauth:")
