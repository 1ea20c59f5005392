"""What is kept of a deployment holds no literal secret."""

from __future__ import annotations

from pathlib import Path

from homunculus.config.redact import redacted, secret_values
from homunculus.model import AdapterSpec, Deployment, ModelSpec, Secret, ServerSpec


def deployment(text: str, *secrets: Secret) -> Deployment:
    adapters = tuple(AdapterSpec("discord", f"n{i}", credentials=(("token", s),)) for i, s in enumerate(secrets))
    return Deployment("camp", Path("/data"), adapters=adapters, text=text)


def test_literal_secrets_are_replaced_wherever_they_stand() -> None:
    kept = redacted(deployment("token: abc.def\n# was abc.def\n", Secret("literal", "abc.def")))
    assert kept == "token: <secret>\n# was <secret>\n"


def test_a_secret_inside_a_longer_one_leaves_nothing_behind() -> None:
    kept = redacted(deployment("a: abcdef\nb: abc\n", Secret("literal", "abc"), Secret("literal", "abcdef")))
    assert "abc" not in kept
    assert "def" not in kept


def test_references_stay_as_they_are() -> None:
    text = "token: env:TOKEN\n"
    assert redacted(deployment(text, Secret("env:TOKEN", "hunter2"))) == text


def test_a_text_whose_secret_cannot_be_found_is_not_kept() -> None:
    kept = redacted(deployment('token: "ab\\u0063def"\n', Secret("literal", "abcdef")))
    assert kept.startswith("# not kept")
    assert "u0063" not in kept


def test_every_kind_of_secret_is_known_to_the_log() -> None:
    given = Deployment(
        "camp",
        Path("/data"),
        adapters=(AdapterSpec("discord", credentials=(("token", Secret("env:A", "one")),)),),
        models=(ModelSpec("m", "openai", api_key=Secret("env:B", "two")), ModelSpec("n", "scripted")),
        server=ServerSpec(token=Secret("env:C", "three")),
    )
    assert secret_values(given) == {"one", "two", "three"}
