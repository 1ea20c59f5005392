"""The container's wiring is whole, and naming a part does not import it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from homunculus.config.load import Loader
from homunculus.container import (
    BACKENDS,
    PLATFORMS,
    PROVIDERS,
    Bus,
    Container,
    EntryPoints,
    Http,
    required_keys,
    weights_cache,
)
from homunculus.errors import ConfigErrors
from homunculus.model import Event, Reloaded
from homunculus.rules import excerpts
from homunculus.runtime.state import State


async def test_every_dependency_is_declared(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="state"):
        Container().check_dependencies()
    state = await State.open(tmp_path / "state.sqlite")
    container = Container(state=state, kept=tmp_path / "kept", reloads=lambda: None, swaps=lambda: None)
    container.check_dependencies()
    supervisor = container.supervisor()
    assert supervisor is container.supervisor()
    await supervisor.aclose()
    await container.http().aclose()
    await state.aclose()


def test_parts_are_known_by_name_without_being_imported() -> None:
    code = (
        "import sys; from homunculus.container import PLATFORMS, PROVIDERS; "
        "assert {'discord', 'local', 'slack', 'telegram', 'twitch'} <= set(PLATFORMS); "
        "assert {'embedded', 'openai', 'scripted'} <= set(PROVIDERS); "
        "heavy = {'discord', 'telegram', 'slack_sdk', 'twitchio', 'xllamacpp', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_unknown_part_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        EntryPoints[object]("homunculus.platforms")["irc"]


def test_one_failing_subscriber_keeps_no_event_from_the_others() -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("no")

    bus = Bus(broken, heard.append)
    bus.subscribe(heard.append)
    bus.emit(Reloaded("unchanged", 1))
    assert heard == [Reloaded("unchanged", 1)] * 2


async def test_the_http_session_is_shared_and_closing_is_safe_twice() -> None:
    http = Http()
    await http.aclose()
    assert http.session() is http.session()
    await http.aclose()
    await http.aclose()


def test_weights_lie_in_the_users_cache_unless_told_otherwise() -> None:
    assert weights_cache({"HOMUNCULUS_CACHE": "/models"}) == Path("/models")
    if sys.platform != "win32":
        assert weights_cache({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/homunculus/models")


def test_a_model_that_lacks_what_its_provider_needs_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "camp.yaml"
    file.write_text("version: 1\nmodels:\n  good: {provider: openai}\n")
    loader = Loader(PLATFORMS, PROVIDERS, BACKENDS, excerpts(), {}, required_keys)
    with pytest.raises(ConfigErrors, match=r'camp\.yaml:3:3: models\.good: openai needs "name"; write name: under it'):
        loader(file)


@pytest.mark.parametrize("named", ["", "discord", "telegram", "slack", "twitch"])
def test_an_adapter_whose_platform_a_deployment_does_not_name_is_not_imported(tmp_path: Path, named: str) -> None:
    nobody = "http://127.0.0.1:1"  # nobody listens there
    keys = {
        "": "",
        "discord": f"token: a, api_base: {nobody}/api/v10, gateway: 'ws://127.0.0.1:1/'",
        "telegram": f"token: '1:a', api_base: {nobody}/bot",
        "slack": f"bot_token: xoxb-1, app_token: xapp-1, api_base: {nobody}/api/",
        "twitch": f"oauth_token: a, api_base: {nobody}/helix, auth_base: {nobody}, gateway: 'ws://127.0.0.1:1/ws'",
    }[named]
    block = f"messaging: {{{named}: {{{keys}}}}}\n" if named else ""
    file = tmp_path / "one.yaml"
    file.write_text(
        f"version: 1\ndata_home: {tmp_path}\nserver: {{enabled: false}}\n{block}models: {{default: {{provider: scripted}}}}\n"
    )
    libraries = {"discord": "discord", "telegram": "telegram", "slack": "slack_sdk", "twitch": "twitchio"}
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from homunculus.program import started\n"
        "async def main():\n"
        f"    async with started(Path({str(file)!r})) as program:\n"
        f"        while any(a.state == 'connecting' for a in program.supervisor.adapters()): await asyncio.sleep(0.01)\n"
        "asyncio.run(main())\n"
        f"print([name for name, library in {libraries!r}.items()\n"
        "       if library in sys.modules or f'homunculus.adapters.{name}.adapter' in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=True)
    assert ran.stdout.strip().splitlines()[-1] == repr([named] if named else [])
