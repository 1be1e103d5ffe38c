"""The demo's accident hits a well, whatever its executor has come to by the moment of the kill."""

import os
from typing import Any

import pytest

from hcs_mesh.command_line.demo_kill import Accident
from hcs_mesh.messages.compute import JobStatus, WellStatus
from hcs_mesh.messages.control import ActorRow

pytestmark = pytest.mark.anyio

DONE = ("A01", "done", 1, "e0"), ("A02", "done", 1, "e1")


class Tree:
    """Two executors, whose processes are others each time that they are looked at."""

    def __init__(self) -> None:
        self.n_looks = 0

    async def tree(self) -> tuple[ActorRow, ...]:
        self.n_looks += 1
        return tuple(
            ActorRow(name=f"e{n}", parent="executors", kind="process", pid=self.n_looks * 10 + n, state="running")
            for n in range(2)
        )


def status(*wells: tuple[str, Any, int, str], faults: tuple[str, ...] = ()) -> JobStatus:
    told = tuple(WellStatus(well=well, state=state, attempts=n, executor=where) for well, state, n, where in wells)
    return JobStatus(job="job-1", plate_id=1, plate_name="P", state="running", wells=(*told,), faults=faults)


@pytest.mark.parametrize(
    ("after_the_kill", "n_kills", "lost"),
    [
        ([status(*DONE, ("A03", "running", 2, "e1"), faults=("A03: e0 died",))], 1, "A03"),
        # It had handed its well in, and had no other one yet.
        (
            [
                status(*DONE, ("A03", "done", 1, "e0"), ("A04", "running", 1, "e1")),
                status(*DONE, ("A03", "done", 1, "e0"), ("A04", "running", 1, "e1")),
                status(*DONE, ("A03", "done", 1, "e0"), ("A04", "running", 2, "e0"), faults=("A04: e1 died",)),
            ],
            2,
            "A04",
        ),
        # It had come to its next one, which is known before its death is, or with it.
        (
            [
                status(*DONE, ("A03", "done", 1, "e0"), ("A04", "running", 1, "e0")),
                status(*DONE, ("A03", "done", 1, "e0"), ("A04", "running", 2, "e1"), faults=("A04: e0 died",)),
            ],
            1,
            "A04",
        ),
        (
            [status(*DONE, ("A03", "done", 1, "e0"), ("A04", "running", 2, "e1"), faults=("A04: e0 died",))],
            1,
            "A04",
        ),
    ],
    ids=["at its well", "between two wells", "at its next well", "at its next well, told at once"],
)
async def test_a_well_is_lost_and_taken_up_again_whenever_the_executor_dies(
    monkeypatch: pytest.MonkeyPatch, after_the_kill: list[JobStatus], n_kills: int, lost: str
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    accident, tree = Accident(after=0.4), Tree()
    for one in (status(*DONE, ("A03", "running", 1, "e0"), ("A04", "queued", 0, "")), *after_the_kill):
        await accident.watch(tree, one)  # type: ignore[arg-type]
    assert (len(killed), accident.happened, accident.well) == (n_kills, True, lost)
    assert accident.well_again_s is not None
