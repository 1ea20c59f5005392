"""Where secrets come from, and that they go nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from homunculus.config.secrets import parse_dotenv
from homunculus.errors import ConfigErrors
from homunculus.model import Secret
from tests.unit.config.world import load, printed

TEXT = "version: 1\nserver: {token: %s}\n"


def token(folder: Path, written: str, **environ: str) -> Secret:
    found = load(folder, TEXT % written, **environ).deployment.server.token
    assert found is not None
    return found


def test_the_process_environment_wins_over_dotenv(folder: Path) -> None:
    (folder / ".env").write_text("API=from-the-file\n")
    assert token(folder, "env:API").value == "from-the-file"
    assert token(folder, "env:API", API="from-the-process").value == "from-the-process"
    assert token(folder, "env:API", API="").value == "from-the-file"  # empty counts as unset
    assert token(folder, "env:API") == Secret("env:API", "from-the-file")


def test_dotenv_lies_beside_the_deployment_file(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / ".env").write_text("API=here\n")
    assert token(folder / "sub", "env:API").value == "here"
    assert token(folder, "env:API").value is None


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"canary", "canary"),
        (b"canary\n", "canary"),
        (b"canary\r\n", "canary"),
        (b"canary\n\n", "canary\n"),
        (b" canary ", " canary "),
        (b"", None),
        (b"\n", None),
        (b"\xff\xfe", None),
    ],
)
def test_a_secret_file_loses_one_final_newline(folder: Path, content: bytes, value: str | None) -> None:
    (folder / "secret").write_bytes(content)
    assert token(folder, "'file:secret'").value == value
    assert token(folder, f"'file:{folder}/secret'").value == value


def test_a_literal_warns_with_its_line(folder: Path) -> None:
    loaded = load(folder, TEXT % "a-literal-canary")
    assert loaded.deployment.server.token == Secret("literal", "a-literal-canary")
    assert printed(loaded.warnings) == [
        "campaign.yaml:2:17: server.token: a literal secret in the file; move it to .env and write env:SERVER_TOKEN"
    ]


@pytest.mark.parametrize("blank", ["", '""', "'  '", "~"])
def test_a_blank_credential_is_not_written(folder: Path, blank: str) -> None:
    loaded = load(folder, f"version: 1\nmessaging: {{discord: {{token: {blank}}}}}\n")
    (_, discord) = loaded.deployment.adapters
    assert (discord.credentials, discord.missing, discord.unresolved) == ((), ("token",), ("token",))


def test_dotenv_lines() -> None:
    values, odd = parse_dotenv(
        '\ufeffA=1\nexport B = two words  # note\nC=\'sin#gle $A\'\nD="dou\\"ble\\n" # note\n# no\n\nE=\nodd\nA=2\r\nF=a#b\nG=#x\n=x\n'
    )
    assert values == {
        "A": "2",
        "B": "two words",
        "C": "sin#gle $A",
        "D": 'dou"ble\n',
        "E": "",
        "F": "a#b",
        "G": "",
    }
    assert odd == [8, 12]


def test_an_odd_line_of_dotenv_is_named_and_never_shown(folder: Path) -> None:
    (folder / ".env").write_text("A=1\ncanary-without-a-name\n")
    (warning,) = load(folder, "version: 1\n").warnings
    assert str(warning) == ".env:2:1: not a NAME=value line; ignored; write NAME=value"


def test_dotenv_that_is_not_text_is_a_warning(folder: Path) -> None:
    (folder / ".env").write_bytes(b"A=\xff\n")
    (warning,) = load(folder, "version: 1\n").warnings
    assert str(warning) == ".env:1:1: cannot be read: it is not UTF-8; save it as UTF-8 text"


def test_a_token_pasted_in_the_wrong_place_is_not_repeated(folder: Path) -> None:
    canary = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"
    for text in (
        f"version: 1\nmessaging: {{discord: {{{canary}: x}}}}\n",
        f"version: 1\nmessaging: {{discord: {{'token {canary}'}}}}\n",
        f"version: 1\nmessaging: {{discord: {{token: [{canary}]}}}}\n",
        f"version: 1\nmessaging: {{discord: {{token: 'env:{canary}'}}}}\nlog_level: x\n",
        f"version: 1\nmessaging: {{discord: {{token: {canary}, persona: {canary}}}}}\n",
        f"version: 1\nmessaging: {{discord: {canary}}}\n",
        f"version: 1\ndefault_agent: {canary}\n",
        f"version: 1\nagents: {{'{canary}': {{}}}}\n",
        f"version: 1\n{canary}\n",
    ):
        with pytest.raises(ConfigErrors) as caught:
            load(folder, text)
        whole = "\n".join((*map(str, caught.value.errors), *map(str, caught.value.warnings), repr(caught.value)))
        assert not [part for part in canary.split(".") if part in whole and len(part) > 6], whole


def test_a_secret_s_value_is_scrubbed_wherever_it_is_repeated(folder: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(folder, TEXT % "env:API" + "log_level: hunter two\ndefault_agent: hunter two\n", API="hunter two")
    assert 'not "<secret>"' in str(caught.value)
    assert "hunter" not in str(caught.value)
