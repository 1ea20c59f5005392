"""What is kept of a deployment holds no literal secret."""

from __future__ import annotations

from pathlib import Path

from homunculus.config.load import Loader
from homunculus.config.redact import redacted, secret_values
from homunculus.container import BACKENDS, PLATFORMS, PROVIDERS
from homunculus.model import AdapterSpec, Deployment, ModelSpec, Secret, ServerSpec
from homunculus.rules import excerpts


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


def test_a_short_secret_leaves_the_words_that_contain_it_alone() -> None:
    kept = redacted(deployment("token: tok\nagents: {tok-tok: {}}\n", Secret("literal", "tok")))
    assert kept == "token: <secret>\nagents: {tok-tok: {}}\n"


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


def test_the_mark_in_a_kept_text_is_no_credential(tmp_path: Path) -> None:
    file = tmp_path / "camp.yaml"
    file.write_text(
        "version: 1\nserver: {token: <secret>}\n"
        "messaging: {discord: {token: <secret>}}\n"
        "models: {m: {provider: openai, name: n, base_url: 'http://127.0.0.1:9/v1', api_key: <secret>}}\n"
    )
    loader = Loader(platforms=PLATFORMS, providers=PROVIDERS, backends=BACKENDS, rulesets=excerpts(), environ={})
    loaded = loader(file).deployment
    discord, model = loaded.adapter("discord"), loaded.model("m")
    assert discord is not None
    assert model is not None
    assert discord.unresolved == ("a literal secret of an earlier run",)
    assert secret_values(loaded) == frozenset()
    assert loaded.server.token is not None
    assert not loaded.server.token.resolved
    assert model.api_key is not None
    assert not model.api_key.resolved
