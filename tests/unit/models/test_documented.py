"""What docs/models.md shows is a deployment that loads without a warning but for secrets, and whose models can be built."""

from __future__ import annotations

from pathlib import Path

from aiohttp import ClientSession

from homunculus.config.load import Loader
from homunculus.container import BACKENDS, PLATFORMS, PROVIDERS, required_keys
from tests.unit.models.rig import services

PAGE = Path(__file__).parents[3] / "docs" / "models.md"


async def test_the_documented_models_load_and_build(tmp_path: Path, session: ClientSession) -> None:
    shown = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "characters").mkdir()
    for name in ("kovach", "agnes"):
        (tmp_path / "characters" / f"{name}.yaml").write_text(f"name: {name}\ndescription: Somebody.\n")
    file = tmp_path / "camp.yaml"
    file.write_text(f"version: 1\n{shown}", encoding="utf-8")
    loader = Loader(
        platforms=PLATFORMS, providers=PROVIDERS, backends=BACKENDS, rulesets={}, environ={}, requires=required_keys
    )
    loaded = loader(file)
    unexpected = [w for w in loaded.warnings if "is not set" not in w.message and "nothing routes" not in w.message]
    assert unexpected == []
    models = [
        PROVIDERS[spec.provider].build(spec, services(tmp_path, lambda: session)) for spec in loaded.deployment.models
    ]
    assert {model.spec.provider for model in models} == set(PROVIDERS), "each provider is shown"
    for model in models:
        await model.aclose()
