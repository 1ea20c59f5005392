"""A small world to load deployment files in: invented platforms, a folder of characters, a fixed environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from homunculus.config import Loaded, Loader
from homunculus.errors import ConfigError, ConfigErrors
from homunculus.interfaces import Platform


def _never(**_: Any) -> NoReturn:
    raise AssertionError("loading a file builds no adapter")


PLATFORMS = {
    platform.name: platform
    for platform in (
        Platform("local", _never, (), (), (), place="chat_id", agent_places=True, default_on=True),
        Platform("discord", _never, endpoints=("api_base", "gateway")),
        Platform("telegram", _never, endpoints=("api_base", "file_base"), place="chat_id"),
        Platform("slack", _never, ("bot_token", "app_token"), ("bot_token", "app_token")),
        Platform(
            "twitch",
            _never,
            ("oauth_token", "client_id", "client_secret", "refresh_token"),
            ("oauth_token",),
            ("api_base", "auth_base", "gateway"),
            ("username",),
            ("channels", "trigger_prefix"),
        ),
    )
}
PROVIDERS = ("openclaw", "openai", "anthropic", "embedded", "scripted")
BACKENDS = ("sqlite", "qmd", "none")
RULESETS = {"coc7e": "Call of Cthulhu.", "dnd5e": "D&D."}
ENVIRON = {"T1": "canary-1", "ALSO_T1": "canary-1", **{f"T{n}": f"canary-{n}" for n in range(2, 10)}}
CARDS = {
    "kovach": "name: Kovach\ndescription: A shopkeeper.\n",
    "john": "name: John\npersonality: Loud.\nruleset: dnd5e\n",
    "ana": "name: Ana\ndescription: The librarian.\n",
}


def loader(environ: Mapping[str, str] = ENVIRON, **more: Platform) -> Loader:
    """Return a loader that knows the invented platforms, and any more."""
    return Loader({**PLATFORMS, **more}, PROVIDERS, BACKENDS, RULESETS, environ)


def populate(folder: Path, files: Mapping[str, str] | None = None) -> None:
    """Write the characters, then the given files, under a folder."""
    cards = {f"characters/{stem}.yaml": text for stem, text in CARDS.items()}
    for name, text in {**cards, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def load(folder: Path, text: str | bytes, name: str = "campaign.yaml", **environ: str) -> Loaded:
    """Write a deployment file into a folder and load it."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return loader({**ENVIRON, **environ})(path)


def faults(folder: Path, text: str | bytes, name: str = "campaign.yaml") -> list[str]:
    """Load a file that is wrong; return its errors as printed."""
    try:
        load(folder, text, name)
    except ConfigErrors as errors:
        return printed(errors.errors)
    raise AssertionError("the file was accepted")


def printed(found: tuple[ConfigError, ...]) -> list[str]:
    """Return findings as `check` prints them."""
    return [str(one) for one in found]
