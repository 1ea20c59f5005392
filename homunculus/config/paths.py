"""Finds the schemas and example files, from a wheel, an editable install or a checkout. Never reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent.parent


def schema_dir() -> Path:
    """Return the folder of the JSON Schemas. Raise FileNotFoundError when the installation lacks them."""
    return _data("schemas", "deployment.schema.json")


def example_dir(name: Literal["characters", "deployments"]) -> Path:
    """Return the folder of the shipped characters or deployments. Raise FileNotFoundError when it is missing."""
    return _data(name, "*.yaml")


def _data(name: str, pattern: str) -> Path:
    # a wheel carries the folders inside the package, a checkout beside it
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if any(folder.glob(pattern)):
            return folder
    raise FileNotFoundError(f"the installation lacks its {name}; reinstall homunculus")
