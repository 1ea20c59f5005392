"""What a right file becomes: defaults, references, routing order, what is read and watched."""

from __future__ import annotations

import dataclasses
import os
import pickle
import threading
from pathlib import Path

import pytest

from homunculus.config import Loaded
from homunculus.errors import ConfigErrors
from homunculus.model import BindingSpec, Deployment, MemorySpec, ModelSpec, PriceSpec, ServerSpec
from tests.unit.config.world import faults, load, loader, printed

SPEC = """
version: 1
bot_name: campaigns
log_level: DEBUG
characters: ./characters
rules: {coc7e: {fumble_on: skill}}
include: []
default_agent: kovach-eod
tests: []
server: {enabled: true, host: 127.0.0.1, port: 8420, token: env:T9, allowed_hosts: [npc.example]}
messaging:
  local: {enabled: true}
  discord:
    enabled: true
    token: env:T1
    dm_allowed_users: []
    allow_bot_messages: [77, "88"]
    authority: ["123456789012345678", 5]
    persona: false
    acknowledge: off
    instances:
      - {name: keeper, token: env:T2, enabled: false, dm_allowed_users: "*", allow_bot_messages: true}
    api_base: http://127.0.0.1:13902/api/v10
    gateway: ws://127.0.0.1:13902/
  telegram:
    instances: [{name: support, token: env:T3}]
  twitch:
    oauth_token: env:T4
    username: kovach_bot
    client_id: env:T5
    channels: [some_streamer, 12345]
    trigger_prefix: "!k"
models:
  default: {provider: embedded}
  haiku:
    provider: openclaw
    name: claude-haiku-4-5
    agent_id: homunculus
    base_url: http://127.0.0.1:18789/v1
    api_key: env:T6
    max_tokens: 400
    temperature: 1
    timeout_seconds: 20
    concurrency: 4
    fallback: [default]
    budget: {tokens_per_day: 500000, cost_per_day: 2.0}
    price: {input: 1, output: 5, cache_read: 0.1}
  rehearsal:
    provider: scripted
    replies: [{when: "(?i)hello", say: "Evening, {{user}}."}]
    otherwise: "{{char}} says nothing."
memory: {backend: sqlite, top_k: 5, embeddings: false, extract_with: haiku, qmd: {binary: qmd2}}
agents:
  kovach-eod:
    character: kovach
    memory_namespace: kovach-memory
    skill_ruleset: coc7e
    model: haiku
    respond: always
    history_size: 10
    token_budget: 1000
    stream: false
    greeting: true
channels:
  - {platform: discord, channel_id: 1471514033478828123, channel_name: edge, agent_id: kovach-eod, require_mention: true}
  - {platform: discord, adapter: keeper, channel_id: "99", character: john, memory_namespace: john-masks, authority: []}
  - {platform: local, channel_id: tavern, agent_id: kovach-eod}
bindings:
  - agent_id: kovach-eod
    channel: telegram
    adapter: support
    chat_id: -100222222222
    id: 7
    dm_allowed_users: ["*"]
    authority: "*"
"""


def deployment(folder: Path, text: str = SPEC, **environ: str) -> Deployment:
    return load(folder, text, **environ).deployment


def minimal(rest: str = "") -> str:
    return f"version: 1\n{rest}"


def test_only_version_is_required(folder: Path) -> None:
    loaded = load(folder, minimal())
    found = loaded.deployment
    assert loaded.warnings == ()
    assert found.bot_name == "campaign"
    assert found.data_home == Path.home() / ".homunculus"
    assert found.server == ServerSpec()
    assert found.models == (ModelSpec("default", "embedded"),)
    assert found.memory == MemorySpec(extract_with="")
    assert [(adapter.key, adapter.enabled) for adapter in found.adapters] == [("local", True)]
    assert (found.agents, found.bindings, found.rulesets) == ((), (), ())


def test_adapters_are_what_was_written(folder: Path) -> None:
    found = {adapter.key: adapter for adapter in deployment(folder).adapters}
    assert list(found) == ["local", "discord", "discord:keeper", "telegram:support", "twitch"]
    discord, keeper, twitch = found["discord"], found["discord:keeper"], found["twitch"]
    assert discord.credential("token") == "canary-1"
    assert discord.connection == (("api_base", "http://127.0.0.1:13902/api/v10"), ("gateway", "ws://127.0.0.1:13902/"))
    assert discord.authority == ("123456789012345678", "5")
    assert discord.allow_bot_messages == ("77", "88")
    assert (discord.persona, discord.acknowledge) == ("off", "off")
    assert keeper.connection == discord.connection  # endpoints are the platform's
    assert (keeper.persona, keeper.authority) == ("auto", ())  # nothing else is inherited
    assert (keeper.enabled, keeper.dm_allowed_users, keeper.allow_bot_messages) == (False, ("*",), True)
    assert twitch.connection == (("username", "kovach_bot"),)
    assert twitch.options == (("channels", "some_streamer\n12345"), ("trigger_prefix", "!k"))
    assert [key for key, _ in twitch.credentials] == ["oauth_token", "client_id"]
    assert twitch.missing == ()


def test_models_and_memory_are_what_was_written(folder: Path) -> None:
    found = deployment(folder)
    haiku = found.model("haiku")
    assert haiku is not None
    assert haiku.api_key is not None
    assert (haiku.max_tokens, haiku.temperature, haiku.timeout_seconds, haiku.concurrency) == (400, 1, 20, 4)
    assert (haiku.name, haiku.agent_id, haiku.fallback) == ("claude-haiku-4-5", "homunculus", ("default",))
    assert (haiku.budget.tokens_per_day, haiku.budget.cost_per_day) == (500000, 2.0)
    assert haiku.price == PriceSpec(1, 5, 0.1)
    assert haiku.api_key.value == "canary-6"
    rehearsal = found.model("rehearsal")
    assert rehearsal is not None
    assert [(reply.when, reply.say) for reply in rehearsal.replies] == [("(?i)hello", "Evening, {{user}}.")]
    assert (found.memory.top_k, found.memory.embeddings, found.memory.extract_with) == (5, "off", "haiku")
    assert found.memory.qmd.binary == "qmd2"


def test_extraction_is_off_with_an_embedded_model(folder: Path) -> None:
    for written, wanted in (("default", ""), ("off", ""), ("false", ""), ("s", "s")):
        text = minimal(f"memory: {{extract_with: {written}}}\nmodels: {{s: {{provider: scripted}}}}\n")
        assert deployment(folder, text).memory.extract_with == wanted
    scripted = minimal("models: {default: {provider: scripted}}")
    assert deployment(folder, scripted).memory.extract_with == "default"


def test_agents_come_from_both_sections(folder: Path) -> None:
    kovach, john = deployment(folder).agents
    assert (kovach.id, kovach.namespace, kovach.character.name) == ("kovach-eod", "kovach-memory", "Kovach")
    assert (kovach.respond, kovach.history_size, kovach.token_budget) == ("always", 10, 1000)
    assert (kovach.stream, kovach.greeting, kovach.model, kovach.ruleset) == (False, True, "haiku", "coc7e")
    assert (john.id, john.namespace, john.model) == ("john-masks", "john-masks", "default")
    assert john.ruleset == "dnd5e"  # the card's
    assert (kovach.path, john.path) == ("agents.kovach-eod", "channels[1]")


def test_rules_stand_in_their_final_order(folder: Path) -> None:
    found = deployment(folder).bindings
    assert found == (
        BindingSpec("kovach-eod", "local", chat_id="@kovach-eod", kind="agent"),
        BindingSpec("john-masks", "local", chat_id="@john-masks", kind="agent"),
        BindingSpec(
            "kovach-eod", "discord", channel_ids=("1471514033478828123",), require_mention=True, kind="channel"
        ),
        BindingSpec("john-masks", "discord", "keeper", channel_ids=("99",), authority=(), kind="channel"),
        BindingSpec("kovach-eod", "local", chat_id="tavern", kind="channel"),
        BindingSpec(
            "kovach-eod",
            "telegram",
            "support",
            chat_id="-100222222222",
            id="7",
            dm_allowed_users=("*",),
            authority=("*",),
        ),
    )
    assert [rule.path for rule in found[2:]] == ["channels[0]", "channels[1]", "channels[2]", "bindings[0]"]
    assert found[2].name == "edge"


def test_only_rulesets_in_use_are_taken_with_their_options(folder: Path) -> None:
    (folder / "extra").mkdir()
    (folder / "extra" / "pulp.md").write_text("Pulp Cthulhu.")
    (folder / "extra" / "unused.md").write_bytes(b"\xff")
    text = minimal(
        "rulesets: extra\nrules: {coc7e: {fumble_on: skill}, pulp: {luck: true}}\n"
        "agents: {a: {character: kovach}, b: {character: kovach, skill_ruleset: pulp}}\ndefault_agent: a\n"
    )
    found = deployment(folder, text).rulesets
    assert [(rules.name, rules.excerpt, rules.options) for rules in found] == [
        ("coc7e", "Call of Cthulhu.", (("fumble_on", "skill"),)),
        ("pulp", "Pulp Cthulhu.", (("luck", "true"),)),
    ]


def test_entries_in_place_with_equal_keys_are_one_agent(folder: Path) -> None:
    text = minimal("channels:\n") + "".join(
        f"  - {{platform: local, channel_id: {place}, character: kovach, memory_namespace: k{more}}}\n"
        for place, more in (("a", ""), ("b", ", respond: mention"), ("c", ", model: default"))
    )
    found = deployment(folder, text)
    assert [agent.id for agent in found.agents] == ["k"]
    assert [rule.chat_id for rule in found.bindings] == ["@k", "a", "b", "c"]


def test_a_rule_may_name_a_disabled_instance_or_one_whose_token_is_still_to_come(folder: Path) -> None:
    text = minimal(
        "messaging: {discord: {enabled: false, token: env:T1, instances: [{name: later, token: env:LATER}]}}\n"
        "agents: {kovach: {character: kovach}}\n"
        "bindings: [{channel: discord, agent_id: kovach}, {channel: discord, adapter: later, agent_id: kovach}]\n"
    )
    found = deployment(folder, text)
    later = found.adapter("discord:later")
    assert later is not None
    assert later.unresolved == ("env:LATER",)
    assert deployment(folder, text, LATER="here it is").adapter("discord:later") != later


def test_disabled_instances_may_share_a_credential(folder: Path) -> None:
    text = minimal("messaging: {discord: {token: env:T1, instances: [{name: spare, token: env:T1, enabled: false}]}}")
    assert load(folder, text).warnings == ()


def test_a_leading_oauth_is_the_same_credential(folder: Path) -> None:
    text = minimal("messaging: {twitch: {oauth_token: env:A, instances: [{name: b, oauth_token: env:B}]}}")
    with pytest.raises(ConfigErrors) as caught:
        load(folder, text, A="oauth:canary", B="canary")
    assert [error.where.path for error in caught.value.errors] == [
        "messaging.twitch.oauth_token",
        "messaging.twitch.instances[0].oauth_token",
    ]
    assert "canary" not in str(caught.value)


def test_a_client_id_may_be_shared(folder: Path) -> None:
    block = "{oauth_token: env:%s, client_id: env:T3, client_secret: env:T4}"
    text = minimal(
        f"messaging: {{twitch: {{instances: [{{name: a, {block[1:] % 'T1'}, {{name: b, {block[1:] % 'T2'}]}}}}"
    )
    assert len(deployment(folder, text).adapters) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "'::1'"])
def test_loopback_needs_no_token(folder: Path, host: str) -> None:
    assert load(folder, minimal(f"server: {{host: {host}}}")).warnings == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "'::'", "192.168.0.5", "npc.example", "localhost.example"])
def test_other_hosts_need_one(folder: Path, host: str) -> None:
    assert 'missing key "token"' in faults(folder, minimal(f"server: {{host: {host}}}"))[0]
    assert deployment(folder, minimal(f"server: {{host: {host}, token: env:T1}}")).server.token is not None
    assert not deployment(folder, minimal(f"server: {{host: {host}, enabled: false}}")).server.enabled


def test_a_written_port_is_kept_in_mind(folder: Path) -> None:
    assert not deployment(folder, minimal()).server.port_written
    assert deployment(folder, minimal("server: {port: 8420}")).server.port_written


def test_the_folder_of_characters_is_here_or_above(folder: Path) -> None:
    (folder / "deployments").mkdir()
    text = minimal("agents: {kovach: {character: kovach}}\ndefault_agent: kovach\n")
    above = load(folder / "deployments", text).deployment
    assert above.agents[0].character.path == "characters/kovach.yaml"
    here = folder / "deployments" / "characters"
    here.mkdir()
    (here / "kovach.yaml").write_text("name: Nearer\ndescription: x\n")
    assert load(folder / "deployments", text).deployment.agents[0].character.name == "Nearer"
    assert {here, folder / "characters"} <= above.watched  # a folder made later counts


def test_names_of_files_are_shown_as_people_know_them(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = minimal("log_level: x\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "f.yaml").write_text(text)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "f.yaml"
    elsewhere.write_text(text)
    given = {
        "sub/f.yaml": "sub/f.yaml",
        str(folder / "sub" / "f.yaml"): "sub/f.yaml",
        str(elsewhere): str(elsewhere),
        os.path.relpath(elsewhere, folder): os.path.relpath(elsewhere, folder),
    }
    for name, shown in given.items():
        with pytest.raises(ConfigErrors) as caught:
            loader()(Path(name))
        assert caught.value.where.file == shown


def test_a_bad_stem_asks_for_a_name(folder: Path) -> None:
    (found,) = faults(folder, "version: 1\n", "My Campaign.yaml")
    assert found.startswith(
        "My Campaign.yaml:1:1: the file's name, \"My Campaign\", cannot be the deployment's; add bot"
    )
    assert load(folder, "version: 1\nbot_name: mine\n", "My Campaign.yaml").deployment.bot_name == "mine"


@pytest.mark.parametrize("name", ["old.json", "old.toml"])
def test_old_formats_are_refused_by_their_names(folder: Path, name: str) -> None:
    (found,) = faults(folder, '{"discord": {"channels": []}}' if name == "old.json" else "[messaging.x]\n", name)
    assert found.startswith(f"{name}:1:1: a ")
    assert "not available yet" in found


def test_a_deployment_may_be_written_in_json(folder: Path) -> None:
    assert load(folder, '{\n\t"version": 1, "bot_name": "j"}', "j.json").deployment.bot_name == "j"


def test_what_cannot_be_read_says_why(folder: Path) -> None:
    for name, fault in (("none.yaml", "the file does not exist"), ("characters", "the file cannot be read: ")):
        with pytest.raises(ConfigErrors) as caught:
            loader()(Path(name))
        assert str(caught.value).startswith(f"{name}:1:1: {fault}")
        assert {folder / name, folder / ".env"} <= caught.value.watched


def test_a_pipe_never_blocks_the_loader(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "f.yaml").write_text("version: 1\nserver: {token: 'file:pipe'}\n")
    found: list[Loaded] = []
    thread = threading.Thread(target=lambda: found.append(loader()(folder / "f.yaml")), daemon=True)
    thread.start()
    thread.join(20)
    assert found
    assert 'the file "pipe" cannot be read: it is no ordinary file' in str(found[0].warnings[0])


# --- what is read ---------------------------------------------------------------------------------------------------

READS = """
version: 1
rulesets: extra
server: {token: "file:secrets/api"}
models: {default: {provider: openai, api_key: "file:secrets/missing"}}
agents: {kovach: {character: kovach, skill_ruleset: pulp}, mara: {character: cards/mara.yaml}}
default_agent: kovach
"""


@pytest.fixture
def reads(folder: Path) -> Path:
    for name, text in {
        "f.yaml": READS,
        ".env": "X=1\n",
        "secrets/api": "canary\n",
        "extra/pulp.md": "Pulp.",
        "cards/mara.yaml": "name: Mara\ndescription: x\navatar: mara.png\n",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_everything_is_read_through_the_given_callable(reads: Path) -> None:
    snapshot = {path: path.read_bytes() for path in reads.rglob("*") if path.is_file()}
    asked: list[Path] = []

    def read(path: Path) -> bytes:
        asked.append(path)
        try:
            return snapshot[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    wanted = loader()(reads / "f.yaml").deployment
    for path in snapshot:
        path.write_bytes(b"torn: [")  # what lies on the disk must not matter any more
    found = loader()(reads / "f.yaml", read).deployment
    assert found == wanted
    assert found.digest == wanted.digest
    assert len(asked) == len(set(asked)), "each file is read once"
    assert {path.relative_to(reads).as_posix() for path in asked} == {
        *("f.yaml", ".env", "secrets/api", "secrets/missing", "extra/pulp.md", "cards/mara.yaml"),
        *("characters/kovach.yaml", "characters/john.yaml", "characters/ana.yaml"),
    }


def test_whatever_matters_is_watched(reads: Path) -> None:
    watched = loader()(reads / "f.yaml").deployment.watched
    assert {path.relative_to(reads).as_posix() for path in watched if path.is_relative_to(reads)} >= {
        *("f.yaml", ".env", "secrets/api", "secrets/missing", "extra", "extra/pulp.md"),
        *("characters", "characters/kovach.yaml", "cards/mara.yaml", "cards/mara.png"),
    }


def test_a_missing_character_is_watched_so_that_it_heals(folder: Path) -> None:
    text = minimal("agents: {mara: {character: mara}}\ndefault_agent: mara\n")
    with pytest.raises(ConfigErrors) as caught:
        load(folder, text)
    assert {folder / "characters", folder / "characters" / "mara.yaml"} <= caught.value.watched
    (folder / "characters" / "mara.yaml").write_text("name: Mara\ndescription: x\n")
    assert load(folder, text).deployment.agents[0].character.name == "Mara"


def test_a_broken_file_still_tells_what_to_watch(folder: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(folder, "version: [")
    assert {folder / "campaign.yaml", folder / ".env"} <= caught.value.watched


@pytest.mark.parametrize(
    "name", ["f.yaml", ".env", "secrets/api", "secrets/missing", "extra/pulp.md", "cards/mara.yaml"]
)
def test_the_digest_changes_with_every_byte_that_was_read(reads: Path, name: str) -> None:
    before = loader()(reads / "f.yaml").deployment.digest
    assert loader()(reads / "f.yaml").deployment.digest == before
    path = reads / name
    path.write_text((path.read_text() if path.exists() else "") + "\n# x")
    assert loader()(reads / "f.yaml").deployment.digest != before


def test_a_comment_or_a_moved_block_changes_no_value(folder: Path) -> None:
    before = deployment(folder)
    head, tail = SPEC.split("models:\n")
    moved = f"version: 1\nmodels:\n{tail}# end\n{head.replace('version: 1', '')}"
    after = deployment(folder, moved)
    assert sorted(map(repr, after.agents)) == sorted(map(repr, before.agents))
    assert after.bindings == before.bindings
    assert after.text == moved


def test_a_deployment_is_plain_data(folder: Path) -> None:
    found = deployment(folder)
    assert pickle.loads(pickle.dumps(found)) == found
    assert hash(found)
    assert found.file == folder / "campaign.yaml"
    assert found.text == SPEC
    assert dataclasses.replace(found, text="", digest="", watched=frozenset()) == found


def test_errors_and_warnings_come_together(folder: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(folder, minimal("log_level: x\nmessaging: {discord: {token: a-literal-canary}}\n"))
    assert len(caught.value.errors) == 1
    assert "a literal secret" in printed(caught.value.warnings)[0]
