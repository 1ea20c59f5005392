"""What may be kept or shown of a deployment: its text without literal secrets. Owns the list of its secret values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from homunculus.config.secrets import REDACTED
from homunculus.model import Deployment, Secret

_WORD = 8  # a shorter secret may be part of an innocent word, so it is replaced only where it stands alone


def secrets_of(deployment: Deployment) -> Iterator[Secret]:
    """Yield every credential that a deployment holds, resolved or not."""
    for adapter in deployment.adapters:
        yield from (secret for _, secret in adapter.credentials)
    yield from (model.api_key for model in deployment.models if model.api_key is not None)
    if deployment.server.token is not None:
        yield deployment.server.token


def secret_values(deployment: Deployment) -> frozenset[str]:
    """Return every secret value, for the log to leave out."""
    return frozenset(secret.value for secret in secrets_of(deployment) if secret.value)


def redacted(deployment: Deployment) -> str:
    """Return the deployment's text with literal secrets replaced.

    A literal that YAML wrote with escapes cannot be found in the text: its whole line could hide it, so such a text is
    not given at all and a comment says why.
    """
    text = deployment.text
    literals = {s.value for s in secrets_of(deployment) if s.source == "literal" and s.value}
    for value in sorted(literals, key=len, reverse=True):
        pattern = re.escape(value)
        text, found = re.subn(pattern if len(value) >= _WORD else rf"(?<![\w-]){pattern}(?![\w-])", REDACTED, text)
        if not found:
            return "# not kept: it holds a literal secret in escaped form; write it as env:NAME\n"
    return text
