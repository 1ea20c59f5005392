"""Loopback model endpoints, strict as the real ones: `ModelServer` (OpenAI's chat), OpenClaw's gateway, Anthropic's Messages.

Owns nothing itself; each protocol has a module, and `loopback` what they share.
"""

from homunculus.testing.model.anthropic import AnthropicServer
from homunculus.testing.model.loopback import Faults, Loopback, Wire
from homunculus.testing.model.openai import ModelServer
from homunculus.testing.model.openclaw import OpenClawServer

__all__ = ["AnthropicServer", "Faults", "Loopback", "ModelServer", "OpenClawServer", "Wire"]
