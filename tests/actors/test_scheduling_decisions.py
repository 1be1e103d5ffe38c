"""Scheduling: fair between users, each well once, every job ended, whatever the executors do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.actors.analysis.scheduling import Cancel, Ended, Instruction, Run, Scheduling, SetAside

EXECUTORS = ("cpu0", "cpu1", "cuda0")


def test_wells_are_handed_out_in_their_order_as_executors_come_up() -> None:
    scheduling = Scheduling()
    assert scheduling.add_job("job-1", "ada", ("A01", "A02", "A03")) == []
    assert scheduling.executor_up("cpu0") == [Run("job-1", "A01", "cpu0")]
    assert scheduling.executor_up("cpu1") == [Run("job-1", "A02", "cpu1")]
    assert scheduling.well_done("job-1", "A01", "cpu0") == [Run("job-1", "A03", "cpu0")]


def test_a_well_that_is_lost_with_one_host_after_the_other_goes_free_twice() -> None:
    scheduling = Scheduling()
    scheduling.add_job("job-1", "ada", ("A01", "A02"))
    spared = [scheduling.spares("job-1", "A01", f"cpu0@host{number}") for number in range(4)]
    assert spared == [True, True, False, False]
    assert scheduling.spares("job-1", "A02", "cpu0@host0"), "each well has its own"
    assert all(scheduling.spares("job-1", "A02", "cpu0") for _ in range(9)), "an executor here takes no host with it"


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


def test_a_held_job_gets_no_executor_until_it_is_released() -> None:
    scheduling = Scheduling(attempts_per_well=1)
    scheduling.executor_up("cpu0")
    scheduling.add_job("job-1", "ada", ("A01", "A02"))
    scheduling.add_job("job-2", "bob", ("B01",))
    for _ in range(3):
        assert scheduling.hold_job("job-1", "A01", "cpu0") == [Run("job-2", "B01", "cpu0")]
        assert scheduling.release_job("job-1") == []
        assert scheduling.hold_job("job-2", "B01", "cpu0") == [Run("job-1", "A01", "cpu0")]
        assert scheduling.release_job("job-2") == []
    assert scheduling.hold_job("job-1", "A01", "cpu0") == [Run("job-2", "B01", "cpu0")]
    assert scheduling.well_done("job-2", "B01", "cpu0") == []
    assert scheduling.executor_up("cpu1") == []
    assert scheduling.cancel_job("job-1") == [Ended("job-1")]
    assert scheduling.release_job("job-1") == []


def test_executors_of_other_hosts_get_nothing_of_a_job_that_stays_here() -> None:
    scheduling = Scheduling()
    scheduling.add_job("job-1", "ada", ("A01",), here_only=True)
    assert scheduling.executor_up("cpu0@gpu7") == []
    assert scheduling.add_job("job-2", "bob", ("B01",)) == [Run("job-2", "B01", "cpu0@gpu7")]
    assert scheduling.executor_up("cpu0") == [Run("job-1", "A01", "cpu0")]


def test_faults_of_before_a_restart_count() -> None:
    scheduling = Scheduling(attempts_per_well=3)
    scheduling.executor_up("cpu0")
    scheduling.add_job("job-1", "ada", ("A01",), {"A01": 2})
    assert scheduling.well_failed("job-1", "A01", "cpu0", "again", final=False) == [
        SetAside("job-1", "A01", "again"),
        Ended("job-1"),
    ]


def test_a_well_whose_last_fault_was_counted_before_a_restart_is_not_tried_once_more() -> None:
    scheduling = Scheduling(attempts_per_well=3)
    scheduling.executor_up("executor.0")
    faults, errors = {"A01": 3, "A02": 2}, {"A01": "SIGSEGV", "A02": "SIGBUS"}
    assert scheduling.add_job("job-1", "ada", ("A01", "A02"), faults, errors) == [
        SetAside("job-1", "A01", "SIGSEGV"),
        Run("job-1", "A02", "executor.0"),
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

    # -- what may happen --------------------------------------------------------------------------

    def job_comes(self, data: st.DataObject) -> None:
        job = f"job-{len(self.wells)}"
        self.wells[job] = tuple(f"A{n:02d}" for n in range(1, data.draw(st.integers(0, 5)) + 1))
        self.take(self.scheduling.add_job(job, data.draw(st.sampled_from(("ada", "bob"))), self.wells[job]))

    def executor_comes(self, data: st.DataObject) -> None:
        executor = data.draw(st.sampled_from(EXECUTORS))
        if executor not in self.at:
            self.up.add(executor)
            self.take(self.scheduling.executor_up(executor))

    def executor_dies(self, data: st.DataObject) -> None:
        if self.up:
            executor = data.draw(st.sampled_from(sorted(self.up)))
            self.up.discard(executor)
            self.at.pop(executor, None)
            self.take(self.scheduling.executor_down(executor, "died", blame_well=data.draw(st.booleans())))

    def idle_executor_dies(self, data: st.DataObject) -> None:
        if idle := sorted(self.up - set(self.at)):
            executor = data.draw(st.sampled_from(idle))
            self.up.discard(executor)
            self.scheduling.idle_executor_down(executor)

    def well_is_sealed(self, data: st.DataObject) -> None:
        if self.at:
            self.seal(data.draw(st.sampled_from(sorted(self.at))))

    def well_fails(self, data: st.DataObject) -> None:
        if self.at:
            executor = data.draw(st.sampled_from(sorted(self.at)))
            job, well = self.at.pop(executor)
            final = data.draw(st.booleans())
            self.take(self.scheduling.well_failed(job, well, executor, "failed", final=final))

    def result_is_kept(self, data: st.DataObject) -> None:
        if self.committing:
            self.keep(data.draw(st.sampled_from(sorted(self.committing))))

    def result_is_lost(self, data: st.DataObject) -> None:
        if self.committing:
            job, well = data.draw(st.sampled_from(sorted(self.committing)))
            self.committing.discard((job, well))
            self.take(self.scheduling.well_failed(job, well, "cpu0", "disk full", final=False))

    def job_is_cancelled(self, data: st.DataObject) -> None:
        if open_jobs := sorted(set(self.wells) - self.cancelled - set(self.ended)):
            job = data.draw(st.sampled_from(open_jobs))
            self.cancelled.add(job)
            self.take(self.scheduling.cancel_job(job))

    def executor_comes_back(self) -> None:
        if "cpu0" not in self.at:
            self.up.add("cpu0")
            self.take(self.scheduling.executor_up("cpu0"))

    def seal(self, executor: str) -> None:
        job, well = self.at.pop(executor)
        self.committing.add((job, well))
        self.take(self.scheduling.well_done(job, well, executor))

    def keep(self, at: tuple[str, str]) -> None:
        self.committing.discard(at)
        self.over[at] += 1
        self.take(self.scheduling.well_kept(*at))


EVENTS = (
    World.job_comes,
    World.executor_comes,
    World.executor_dies,
    World.idle_executor_dies,
    World.well_is_sealed,
    World.well_fails,
    World.result_is_kept,
    World.result_is_lost,
    World.job_is_cancelled,
)


@given(st.data(), st.lists(st.sampled_from(EVENTS), min_size=1, max_size=60))
def test_whatever_happens_each_well_is_over_once_and_each_job_ends_once(
    data: st.DataObject, events: list[Callable[[World, st.DataObject], None]]
) -> None:
    world = World()
    for event in events:
        event(world, data)
    world.executor_comes_back()
    while world.at or world.committing:
        for executor in sorted(world.at):
            world.seal(executor)
        for at in sorted(world.committing):
            world.keep(at)
    assert world.scheduling.n_queued() == 0
    assert dict(world.ended) == dict.fromkeys(world.wells, 1)
