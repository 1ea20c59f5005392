"""The `embedded` provider: a small model in this process, needing no account and no network once its weights are here.

Owns only the cheap descriptor; `weights` fetches, `engine` runs, `fit` cuts prompts, `llama` is the model that agents share.
"""

from __future__ import annotations

from homunculus.interfaces import ChatModel, ModelServices, Provider
from homunculus.model import ModelSpec


def build(spec: ModelSpec, services: ModelServices) -> ChatModel:
    """Return at once: the model gets itself ready in the background when it is first warmed or asked."""
    from homunculus.models.embedded.llama import EmbeddedModel

    return EmbeddedModel(spec, services)


provider = Provider("embedded", build)
