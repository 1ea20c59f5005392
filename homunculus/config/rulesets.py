"""Rulesets: the built-in ones, and those of the folder named in the file. Owns their excerpts; never rolls a die."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from homunculus.config.draft import Draft, text
from homunculus.config.files import is_file, is_folder
from homunculus.config.words import did_you_mean, shown
from homunculus.errors import ConfigError, Where
from homunculus.model import RulesetSpec

DEFAULT = "coc7e"
MAX_EXCERPT = 2400  # characters: it stands in every prompt


@dataclass(slots=True)
class Rulesets:
    """Which rulesets there are, and those that agents use."""

    draft: Draft
    builtin: Mapping[str, str]
    files: dict[str, FilePath]
    errors: list[ConfigError] = field(default_factory=list)
    _used: dict[str, RulesetSpec] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        return {*self.builtin, *self.files, DEFAULT}

    @property
    def used(self) -> tuple[RulesetSpec, ...]:
        return tuple(self._used[name] for name in sorted(self._used))

    def use(self, name: str) -> None:
        """Take a ruleset that exists into the deployment."""
        if name not in self._used:
            options: Mapping[str, Any] = self.draft.section("rules").get(name) or {}
            pairs = tuple((key, _option(value)) for key, value in options.items() if not key.startswith("x-"))
            self._used[name] = RulesetSpec(name, self._excerpt(name), pairs)

    def fix(self, name: str) -> str:
        """Word the fix for a name that is no ruleset."""
        return did_you_mean(name, sorted(self.names), "write its .md file into a folder named in rulesets:")

    def _excerpt(self, name: str) -> str:
        file = self.files.get(name)
        if file is None:
            return self.builtin.get(name, "")
        where = Where(self.draft.files.shown(file))
        try:
            excerpt = self.draft.files.bytes(file).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "cannot be read"
            self.errors.append(ConfigError(where, f"the ruleset is {reason}", "save it as UTF-8 text"))
            return ""
        if len(excerpt) > MAX_EXCERPT:
            fault = f"the excerpt has {len(excerpt):,} characters; at most {MAX_EXCERPT:,} go into a prompt"
            self.errors.append(ConfigError(where, fault, "shorten it"))
        return excerpt


def open_rulesets(draft: Draft, builtin: Mapping[str, str]) -> Rulesets:
    """List what rulesets there are; report a folder that is not there, and options of rulesets that are not."""
    rulesets = Rulesets(draft, builtin, _folder(draft))
    for path, _ in draft.named("rules"):
        if (name := str(path[-1])) not in rulesets.names:
            draft.findings.key_error(path, f"no ruleset {shown(name)}", rulesets.fix(name))
    return rulesets


def _folder(draft: Draft) -> dict[str, FilePath]:
    written = draft.data.get("rulesets")
    if written is None:
        return {}
    try:
        folder = draft.files.beside(written)
    except ValueError as error:
        draft.findings.error(("rulesets",), str(error), "write the path of a folder")
        return {}
    if not is_folder(folder):
        draft.findings.error(("rulesets",), f"no folder {draft.files.shown(folder)}", "make it, or drop the key")
    return {file.stem: file for file in draft.files.folder(folder) if file.suffix == ".md" and is_file(file)}


def _option(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else text(value)
