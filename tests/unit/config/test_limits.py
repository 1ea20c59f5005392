"""Hostile files are refused with a clear error in under a second of CPU, in a process of their own: a parser may crash."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from homunculus.config.source import MAX_ALIASED, MAX_BYTES, MAX_DEPTH, read
from homunculus.errors import ConfigErrors

MEASURE = textwrap.dedent("""
    import sys
    from pathlib import Path
    from homunculus.config import Loader
    from homunculus.errors import ConfigErrors
    from tests.cpu import within
    load = Loader({}, (), (), {}, {})
    load._check  # the schemas are loaded once in a process's life
    def refused():
        try:
            load(Path(sys.argv[1]))
        except ConfigErrors as errors:
            return str(errors)
    print(within(1, refused))
""")

BOMB = "x-0: &x0 [a,a,a,a,a,a,a,a,a]\n" + "".join(
    f"x-{n}: &x{n} [{','.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 30)
)
MERGE_BOMB = "x-0: &x0 {a: 1}\n" + "".join(
    f"x-{n}: &x{n}\n  <<: [{','.join([f'*x{n - 1}'] * 9)}]\n  k{n}: [*x{n - 1}, *x{n - 1}]\n" for n in range(1, 30)
)
HOSTILE = {
    "alias bomb": (BOMB, "aliases add more than 200,000 nodes"),
    "merge bomb": (MERGE_BOMB, "aliases add more than 200,000 nodes"),
    "100,000 brackets": ("[" * 100_000, "nested more than 40 levels deep"),
    "100,000 braces": ("{a: " * 100_000, "nested more than 40 levels deep"),
    "100,000 dashes": ("- " * 100_000, "nested more than 40 levels deep"),
    "100,000 question marks": ("? " * 100_000, "nested more than 40 levels deep"),
    "100,000 lines, each deeper": ("".join(f"{' ' * n}a:\n" for n in range(2000)), "nested more than 40 levels deep"),
    "depth 41": ("a: " + "[" * 40 + "]" * 40, "nested more than 40 levels deep"),
    "depth 41 through an alias": (f"a: &a {'[' * 30}{']' * 30}\nb: {'[' * 10}*a{']' * 10}\n", "through this alias"),
    "4 MiB and one byte": ("#" * (MAX_BYTES + 1), "the file is too large: 4.0 MiB"),
    "an anchor that holds itself": ("a: &a {b: {c: [*a]}}", "an alias inside its own anchor"),
    "5,000 hexadecimal digits": ("version: 0x" + "f" * 5000, "a number of 5002 digits"),
    "5,000 digits": ("version: 1" + "0" * 5000, "a number of 5001 digits"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_within_a_second_of_cpu(name: str, tmp_path: Path) -> None:
    text, fault = HOSTILE[name]
    file = tmp_path / "hostile.yaml"
    file.write_text(text)
    ran = subprocess.run([sys.executable, "-c", MEASURE, file], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert fault in ran.stdout
    assert ran.stdout.startswith(f"{file}:")


def test_depth_40_is_read() -> None:
    assert read(("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)).encode(), "f").faults == ()


def aliased(times: int) -> bytes:
    """Write a list of 99 scalars (100 nodes) and that many aliases to it."""
    return f"a: &a [{','.join('x' * 99)}]\nb: [{','.join(['*a'] * times)}]\n".encode()


def test_200_000_aliased_nodes_are_read_and_one_more_list_is_not() -> None:
    assert len(read(aliased(MAX_ALIASED // 100), "f").data["b"]) == 2000
    with pytest.raises(ConfigErrors, match="aliases add more"):
        read(aliased(MAX_ALIASED // 100 + 1), "f")


def test_4_mib_are_read() -> None:
    assert read(b"a: 1\n#" + b"x" * (MAX_BYTES - 6), "f").data == {"a": 1}
