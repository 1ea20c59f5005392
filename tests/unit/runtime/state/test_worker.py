"""The thread behind the state: what is worked on at once, and what may wait for company."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from homunculus.runtime.state.worker import Worker


class Noted:
    """A worker's work: remember the groups."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []

    def __call__(self, jobs: Sequence[str]) -> Sequence[str]:
        self.groups.append(list(jobs))
        return jobs


def patient(job: str) -> bool:
    return job == "note"


async def test_a_patient_job_goes_with_the_next_one() -> None:
    noted = Noted()
    worker = Worker("test", noted, patient)
    try:
        note, write = worker.submit("note"), worker.submit("write")
        assert (await note, await write) == ("note", "write")
        assert noted.groups == [["note", "write"]]
    finally:
        worker.close()
        worker.join()


async def test_a_patient_job_without_company_is_done_all_the_same() -> None:
    noted = Noted()
    worker = Worker("test", noted, patient)
    try:
        assert await asyncio.wait_for(worker.submit("note"), 5) == "note"
    finally:
        worker.close()
        worker.join()
    assert noted.groups == [["note"]]


async def test_closing_does_what_a_patient_job_asked_for() -> None:
    noted = Noted()
    worker = Worker("test", noted, patient)
    last = worker.submit("note")
    worker.close()
    worker.join()
    assert noted.groups == [["note"]]
    assert await asyncio.wait_for(last, 5) == "note"
