"""What one settled text says: loaded, and planned against what runs. Owns turning every failure into errors with a place.

Synchronous and slow: belongs in a thread. Reads files only through the snapshot; never waits, never applies.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from loguru import logger

from homunculus.errors import ConfigError, ConfigErrors, Where
from homunculus.model import Deployment
from homunculus.plan import Plan, nothing
from homunculus.runtime.collector import held
from homunculus.runtime.snapshot import Snapshot

BUG = "what runs is untouched; this is a fault of the program, please report it"
Read = Callable[[Path], bytes]


class Loaded(Protocol):
    """What loading a valid file yields."""

    @property
    def deployment(self) -> Deployment: ...
    @property
    def warnings(self) -> tuple[ConfigError, ...]: ...


Load = Callable[[Path, Read], Loaded]  # raises ConfigErrors; reads files through the second argument only
PlanOf = Callable[[Deployment, Deployment], Plan]


@dataclass(frozen=True, slots=True)
class Found:
    """What one text says: a deployment and its plan, or the errors. `traces` sums up the watched paths before the load."""

    deployment: Deployment | None = None
    plan: Plan = field(default_factory=Plan)
    errors: ConfigErrors | None = None
    warnings: tuple[ConfigError, ...] = ()
    traces: Hashable = None

    @property
    def suspicious(self) -> bool:
        """Tell whether it looks like half of a text: it is faulty, or takes something away."""
        return self.errors is not None or self.plan.removes


def examine(
    file: Path, snapshot: Snapshot, load: Load, plan_of: PlanOf, running: Deployment | None, traces: Hashable
) -> Found:
    """Load a snapshot of `file` (as the person named it) and plan it against `running`; every failure becomes a finding."""
    with held():
        return _examined(file, snapshot, load, plan_of, running, traces)


def _examined(
    file: Path, snapshot: Snapshot, load: Load, plan_of: PlanOf, running: Deployment | None, traces: Hashable
) -> Found:
    try:
        loaded = load(file, snapshot.read)
    except ConfigErrors as errors:
        return Found(errors=errors, traces=traces)
    except Exception as error:  # noqa: BLE001 - a loader that fails on some text must not end the reload
        logger.opt(exception=True).debug("loading failed")
        return Found(errors=one_error(file, f"cannot be loaded: {type(error).__name__}", BUG), traces=traces)
    wanted = loaded.deployment
    plan = plan_of(running or nothing(wanted), wanted)
    frozen = _errors_of_process(plan, wanted, file)
    return Found(None if frozen else wanted, plan, frozen, tuple(loaded.warnings), traces)


def one_error(file: Path, message: str, hint: str = "") -> ConfigErrors:
    """Make the errors of a file that has one fault as a whole."""
    return ConfigErrors((ConfigError(Where(str(file)), message, hint),), watched=frozenset({file}))


def _errors_of_process(plan: Plan, wanted: Deployment, file: Path) -> ConfigErrors | None:
    """Refuse what cannot change live, at the line of its top-level key when the text has one."""
    lines = wanted.text.splitlines()
    errors = tuple(
        ConfigError(
            Where(
                str(file),
                next((n for n, line in enumerate(lines, 1) if line.startswith(f"{change.name}:")), 1),
                1,
                change.name,
            ),
            f"cannot change while the program runs ({change.detail})",
            "undo it, or restart the program",
        )
        for change in plan.changes
        if change.effect == "process"
    )
    return ConfigErrors(errors, watched=frozenset({file})) if errors else None
