"""Homunculus: one YAML file puts many role-play characters into chat channels, and keeps them there."""

from __future__ import annotations

__version__ = "0.3.0"
