"""Scheduling: fair between users, each well once, every job ended, whatever the executors do."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.actors.scheduling import Cancel, Ended, Instruction, Run, Scheduling, SetAside

EXECUTORS = ("cpu0", "cpu1", "cuda0")


def test_wells_are_handed_out_in_their_order_as_executors_come_up() -> None:
    scheduling = Scheduling()
    assert scheduling.add_job("job-1", "ada", ("A01", "A02", "A03")) == []
    assert scheduling.executor_up("cpu0") == [Run("job-1", "A01", "cpu0")]
    assert scheduling.executor_up("cpu1") == [Run("job-1", "A02", "cpu1")]
    assert scheduling.well_done("job-1", "A01", "cpu0") == [Run("job-1", "A03", "cpu0")]


def test_the_user_with_fewest_wells_in_work_is_next() -> None:
    scheduling = Scheduling()
    scheduling.executor_up("cpu0")
    scheduling.executor_up("cpu1")
    scheduling.add_job("job-1", "ada", ("A01", "A02", "A03", "A04"))
    assert scheduling.add_job("job-2", "bob", ("B01",)) == []
    assert scheduling.well_done("job-1", "A01", "cpu0") == [Run("job-2", "B01", "cpu0")]


def test_a_job_ends_only_when_its_last_result_is_kept() -> None:
    scheduling = Scheduling()
    scheduling.executor_up("cpu0")
    scheduling.add_job("job-1", "ada", ("A01",))
    assert scheduling.well_done("job-1", "A01", "cpu0") == []
    assert scheduling.well_kept("job-1", "A01") == [Ended("job-1")]


def test_a_job_of_which_nothing_is_left_ends_at_once() -> None:
    assert Scheduling().add_job("job-1", "ada", ()) == [Ended("job-1")]


@pytest.mark.parametrize(("blame_well", "n_deaths"), [(True, 3), (False, 30)])
def test_only_a_death_over_a_well_counts_against_it(blame_well: bool, n_deaths: int) -> None:
    scheduling = Scheduling(attempts_per_well=3)
    scheduling.add_job("job-1", "ada", ("A01",))
    for _ in range(n_deaths - 1):
        assert scheduling.executor_up("cpu0") == [Run("job-1", "A01", "cpu0")]
        assert scheduling.executor_down("cpu0", "SIGSEGV", blame_well=blame_well) == []
    scheduling.executor_up("cpu0")
    last = [SetAside("job-1", "A01", "SIGSEGV"), Ended("job-1")] if blame_well else []
    assert scheduling.executor_down("cpu0", "SIGSEGV", blame_well=blame_well) == last


def test_faults_of_before_a_restart_count() -> None:
    scheduling = Scheduling(attempts_per_well=3)
    scheduling.executor_up("cpu0")
    scheduling.add_job("job-1", "ada", ("A01",), {"A01": 2})
    assert scheduling.well_failed("job-1", "A01", "cpu0", "again", final=False) == [
        SetAside("job-1", "A01", "again"),
        Ended("job-1"),
    ]


def test_a_failure_that_trying_again_cannot_mend_sets_the_well_aside_at_once() -> None:
    scheduling = Scheduling()
    scheduling.executor_up("cpu0")
    scheduling.add_job("job-1", "ada", ("A01", "A02"))
    assert scheduling.well_failed("job-1", "A01", "cpu0", "no such channel", final=True) == [
        SetAside("job-1", "A01", "no such channel"),
        Run("job-1", "A02", "cpu0"),
    ]


def test_a_result_that_cannot_be_committed_is_computed_again() -> None:
    scheduling = Scheduling()
    scheduling.executor_up("cpu0")
    scheduling.add_job("job-1", "ada", ("A01",))
    scheduling.well_done("job-1", "A01", "cpu0")
    assert scheduling.well_failed("job-1", "A01", "cpu0", "disk full", final=False) == [Run("job-1", "A01", "cpu0")]


def test_a_cancelled_job_ends_when_its_executors_have_let_go() -> None:
    scheduling = Scheduling()
    scheduling.executor_up("cpu0")
    scheduling.add_job("job-1", "ada", ("A01", "A02"))
    assert scheduling.cancel_job("job-1") == [Cancel("job-1", "A01", "cpu0")]
    assert scheduling.is_at("cpu0", "job-1", "A01")
    assert scheduling.well_failed("job-1", "A01", "cpu0", "cancelled", final=True) == [Ended("job-1")]


def test_a_job_that_waits_is_cancelled_at_once() -> None:
    scheduling = Scheduling()
    scheduling.add_job("job-1", "ada", ("A01",))
    assert scheduling.cancel_job("job-1") == [Ended("job-1")]


def test_an_idle_executor_that_dies_gets_no_well() -> None:
    scheduling = Scheduling()
    scheduling.executor_up("cpu0")
    scheduling.idle_executor_down("cpu0")
    assert scheduling.add_job("job-1", "ada", ("A01",)) == []
    assert scheduling.some_executor() is None


def test_an_executor_at_a_well_is_not_taken_for_idle_when_it_dies() -> None:
    scheduling = Scheduling()
    scheduling.executor_up("cpu0")
    scheduling.add_job("job-1", "ada", ("A01",))
    scheduling.idle_executor_down("cpu0")
    assert scheduling.is_at("cpu0", "job-1", "A01")
    scheduling.executor_down("cpu0", "SIGKILL")
    assert scheduling.executor_up("cpu0") == [Run("job-1", "A01", "cpu0")]


def test_an_idle_executor_is_preferred_for_a_question() -> None:
    scheduling = Scheduling()
    scheduling.executor_up("cpu0")
    scheduling.add_job("job-1", "ada", ("A01",))
    assert scheduling.some_executor() == "cpu0"
    scheduling.executor_up("cpu1")
    assert scheduling.some_executor() == "cpu1"
    assert scheduling.some_executor(but={"cpu1"}) == "cpu0"
    assert scheduling.some_executor(but=EXECUTORS) is None


class World:
    """Executors and jobs that keep account of what they were told."""

    def __init__(self) -> None:
        self.scheduling = Scheduling(attempts_per_well=3)
        self.at: dict[str, tuple[str, str]] = {}
        self.committing: set[tuple[str, str]] = set()
        self.over: Counter[tuple[str, str]] = Counter()
        self.ended: Counter[str] = Counter()
        self.wells: dict[str, tuple[str, ...]] = {}
        self.cancelled: set[str] = set()
        self.up: set[str] = set()

    def take(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Run(job=job, well=well, executor=executor):
                    assert executor in self.up, "a well went to an executor that is down"
                    assert executor not in self.at, "an executor got a second well"
                    assert (job, well) not in self.at.values(), "a well runs twice at once"
                    assert (job, well) not in self.committing
                    assert not self.over[job, well], "a finished well ran again"
                    assert job not in self.cancelled, "a well of a cancelled job ran"
                    self.at[executor] = job, well
                case SetAside(job=job, well=well):
                    self.over[job, well] += 1
                case Ended(job=job):
                    self.ended[job] += 1
                    assert self.ended[job] == 1, "a job ended twice"
                    assert all(at[0] != job for at in [*self.at.values(), *self.committing])
                    if job not in self.cancelled:
                        assert all(self.over[job, well] == 1 for well in self.wells[job])
                case Cancel(job=job, well=well, executor=executor):
                    assert self.at[executor] == (job, well)


@given(st.data())
def test_whatever_happens_each_well_is_over_once_and_each_job_ends_once(data: st.DataObject) -> None:
    world = World()
    scheduling = world.scheduling

    def pick(from_: object) -> object:
        return data.draw(st.sampled_from(sorted(from_)))  # type: ignore[call-overload]

    for number in range(data.draw(st.integers(1, 60))):
        event = data.draw(st.sampled_from(("job", "up", "death", "idle death", "done", "kept", "lost", "fail", "cancel")))
        if event == "job":
            job = f"job-{number}"
            world.wells[job] = tuple(f"A{n:02d}" for n in range(1, data.draw(st.integers(0, 5)) + 1))
            world.take(scheduling.add_job(job, data.draw(st.sampled_from(("ada", "bob"))), world.wells[job]))
        elif event == "up":
            executor = str(pick(EXECUTORS))
            if executor not in world.at:
                world.up.add(executor)
                world.take(scheduling.executor_up(executor))
        elif event == "death" and world.up:
            executor = str(pick(world.up))
            world.up.discard(executor)
            world.at.pop(executor, None)
            world.take(scheduling.executor_down(executor, "died", blame_well=data.draw(st.booleans())))
        elif event == "idle death" and world.up - set(world.at):
            executor = str(pick(world.up - set(world.at)))
            world.up.discard(executor)
            scheduling.idle_executor_down(executor)
        elif event == "done" and world.at:
            executor = str(pick(world.at))
            job, well = world.at.pop(executor)
            world.committing.add((job, well))
            world.take(scheduling.well_done(job, well, executor))
        elif event in ("kept", "lost") and world.committing:
            job, well = pick(world.committing)  # type: ignore[misc]
            world.committing.discard((job, well))
            if event == "kept":
                world.over[job, well] += 1
                world.take(scheduling.well_kept(job, well))
            else:
                world.take(scheduling.well_failed(job, well, "cpu0", "disk full", final=False))
        elif event == "fail" and world.at:
            executor = str(pick(world.at))
            job, well = world.at.pop(executor)
            world.take(scheduling.well_failed(job, well, executor, "failed", final=data.draw(st.booleans())))
        elif event == "cancel" and set(world.wells) - world.cancelled - set(world.ended):
            job = str(pick(set(world.wells) - world.cancelled - set(world.ended)))
            world.cancelled.add(job)
            world.take(scheduling.cancel_job(job))
    world.up.add("cpu0")
    if "cpu0" not in world.at:
        world.take(scheduling.executor_up("cpu0"))
    while world.at or world.committing:
        while world.committing:
            job, well = world.committing.pop()
            world.over[job, well] += 1
            world.take(scheduling.well_kept(job, well))
        if world.at:
            executor, (job, well) = world.at.popitem()
            world.committing.add((job, well))
            world.take(scheduling.well_done(job, well, executor))
    assert scheduling.n_queued() == 0
    assert dict(world.ended) == dict.fromkeys(world.wells, 1)
