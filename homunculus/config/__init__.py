"""Deployment files: from text to a frozen Deployment, or to every error at once with its place and its fix.

Owns reading, checking, naming and warning. Blind to adapters, models, memory and rules: what is installed is passed in.
"""

from __future__ import annotations

from homunculus.config.files import Read
from homunculus.config.load import Loaded, Loader
from homunculus.config.paths import example_dir, schema_dir

__all__ = ["Loaded", "Loader", "Read", "example_dir", "schema_dir"]
