"""Who computes which well next: events in, instructions out (pure).

Fair between users: the next well goes to the user with the fewest wells in work, and among a user's
jobs to the oldest. A death of an executor is charged to the well it was at; a well that has used up
its attempts is set aside, so that one bad well never holds a plate up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

N_SPARED = 2
"""How often a well may be lost with the host that it is at before that is charged to it."""


@dataclass(frozen=True, slots=True)
class Run:
    """Let an executor compute a well."""

    job: str
    well: str
    executor: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody wants what this executor computes."""

    job: str
    well: str
    executor: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """A well has failed for the last time."""

    job: str
    well: str
    error: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing of a job is left to do."""

    job: str


Instruction = Run | Cancel | SetAside | Ended


@dataclass(slots=True)
class _Job:
    owner: str
    queued: deque[str]
    running: set[str] = field(default_factory=set)
    committing: set[str] = field(default_factory=set)
    faults: dict[str, int] = field(default_factory=dict)
    spared: dict[str, int] = field(default_factory=dict)
    cancelled: bool = False
    here_only: bool = False
    held: bool = False

    @property
    def over(self) -> bool:
        return not self.queued and not self.running and not self.committing


def is_elsewhere(executor: str) -> bool:
    """Whether an executor is another host's, by its name."""
    return "@" in executor


class Scheduling:
    """The state of all queues; every call returns what is to be done now, in order."""

    def __init__(self, attempts_per_well: int = 3) -> None:
        self._attempts = attempts_per_well
        self._jobs: dict[str, _Job] = {}
        self._executors: dict[str, tuple[str, str] | None] = {}

    def add_job(
        self,
        job: str,
        owner: str,
        wells: tuple[str, ...],
        faults: dict[str, int] | None = None,
        errors: dict[str, str] | None = None,
        *,
        here_only: bool = False,
    ) -> list[Instruction]:
        """A job is to be done; ``wells`` are those that are left of it, ``errors`` the last one of each.

        With ``here_only`` no executor of another host gets any of them.
        Whoever counted a well's last fault may have died before it was set aside: it is not tried once more.
        """
        counted = dict(faults or {})
        spent = [well for well in wells if counted.get(well, 0) >= self._attempts]
        left = deque(well for well in wells if well not in spent)
        self._jobs[job] = _Job(owner, left, faults=counted, here_only=here_only)
        set_aside = [SetAside(job, well, (errors or {}).get(well, "")) for well in spent]
        return [*set_aside, *self._ended(job), *self._dispatch()]

    def executor_up(self, executor: str) -> list[Instruction]:
        """An executor is idle."""
        if self._executors.get(executor) is None:
            self._executors[executor] = None
        return self._dispatch()

    def executor_down(self, executor: str, error: str, *, blame_well: bool = True) -> list[Instruction]:
        """An executor is gone, with or without a well in work."""
        at = self._executors.pop(executor, None)
        if at is None:
            return []
        return self._failed(*at, error, final=False, charged=blame_well) + self._dispatch()

    def spares(self, job: str, well: str, executor: str) -> bool:
        """Note that an executor cannot be reached any more, and whether the well that it was to compute goes free.

        A host that is away is no fault of its well; but one that takes hosts down would go from one to the next.
        """
        found = self._jobs.get(job)
        if found is None or not is_elsewhere(executor):
            return True
        found.spared[well] = found.spared.get(well, 0) + 1
        return found.spared[well] <= N_SPARED

    def idle_executor_down(self, executor: str) -> None:
        """An executor is gone; nothing happens if a well is waited for from it, since that tells it as well."""
        if executor in self._executors and self._executors[executor] is None:
            del self._executors[executor]

    def well_done(self, job: str, well: str, executor: str) -> list[Instruction]:
        """A well's result is sealed; the executor is idle again."""
        self._free(executor, job, well)
        if job in self._jobs:
            self._jobs[job].running.discard(well)
            self._jobs[job].committing.add(well)
        return self._dispatch()

    def well_kept(self, job: str, well: str) -> list[Instruction]:
        """A well's result is committed: only now may its job be over."""
        if job in self._jobs:
            self._jobs[job].committing.discard(well)
        return self._ended(job)

    def well_failed(self, job: str, well: str, executor: str, error: str, *, final: bool) -> list[Instruction]:
        """A well could not be computed; ``final`` when trying again cannot help."""
        self._free(executor, job, well)
        return self._failed(job, well, error, final=final, charged=True) + self._dispatch()

    def hold_job(self, job: str, well: str, executor: str) -> list[Instruction]:
        """A well cannot be computed before something happens that its whole job waits for: nobody is charged."""
        self._free(executor, job, well)
        if job in self._jobs:
            self._jobs[job].held = True
        return self._failed(job, well, "", final=False, charged=False) + self._dispatch()

    def release_job(self, job: str) -> list[Instruction]:
        """What a job waited for may have happened."""
        if job in self._jobs:
            self._jobs[job].held = False
        return self._dispatch()

    def cancel_job(self, job: str) -> list[Instruction]:
        """Nobody wants the job any more."""
        found = self._jobs.get(job)
        if found is None:
            return []
        found.cancelled = True
        found.queued.clear()
        return [
            Cancel(*at, executor) for executor, at in self._executors.items() if at is not None and at[0] == job
        ] + self._ended(job)

    def is_at(self, executor: str, job: str, well: str) -> bool:
        """Whether an executor is still at a well."""
        return self._executors.get(executor) == (job, well)

    def jobs_here_only(self) -> tuple[str, ...]:
        """The jobs of which executors of other hosts get nothing."""
        return tuple(name for name, job in self._jobs.items() if job.here_only)

    def n_queued(self) -> int:
        """Wells that wait for an executor."""
        return sum(len(job.queued) for job in self._jobs.values())

    def some_executor(self, *, but: Collection[str] = ()) -> str | None:
        """Some executor that is up and not one of these, an idle one if there is one."""
        up = {name: at for name, at in self._executors.items() if name not in but}
        return next((name for name, at in up.items() if at is None), next(iter(up), None))

    def _free(self, executor: str, job: str, well: str) -> None:
        if self._executors.get(executor) == (job, well):
            self._executors[executor] = None

    def _failed(self, name: str, well: str, error: str, *, final: bool, charged: bool) -> list[Instruction]:
        job = self._jobs.get(name)
        if job is None:
            return []
        job.running.discard(well)
        job.committing.discard(well)
        if job.cancelled:
            return self._ended(name)
        if charged:
            job.faults[well] = job.faults.get(well, 0) + 1
        if final or job.faults.get(well, 0) >= self._attempts:
            return [SetAside(name, well, error), *self._ended(name)]
        job.queued.appendleft(well)
        return []

    def _ended(self, name: str) -> list[Instruction]:
        job = self._jobs.get(name)
        if job is None or not job.over:
            return []
        del self._jobs[name]
        return [Ended(name)]

    def _dispatch(self) -> list[Instruction]:
        instructions: list[Instruction] = []
        for executor, at in self._executors.items():
            if at is not None:
                continue
            is_here = not is_elsewhere(executor)
            chosen = self._next_job(is_here=is_here)
            if chosen is None:
                if is_here:
                    # Nothing is left that others would get either.
                    break
                continue
            name, job = chosen
            well = job.queued.popleft()
            job.running.add(well)
            self._executors[executor] = (name, well)
            instructions.append(Run(name, well, executor))
        return instructions

    def _next_job(self, *, is_here: bool) -> tuple[str, _Job] | None:
        in_work: dict[str, int] = {}
        for job in self._jobs.values():
            in_work[job.owner] = in_work.get(job.owner, 0) + len(job.running)
        waiting = [
            (name, job)
            for name, job in self._jobs.items()
            if job.queued and not job.held and (is_here or not job.here_only)
        ]
        # min keeps the first of equals, and jobs are in the order in which they came.
        return min(waiting, key=lambda one: in_work[one[1].owner], default=None)
