"""The journal beside a list: whatever is appended, cut, flipped, filled up or killed, it replays what it must."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import warnings
from collections.abc import Callable, Coroutine
from itertools import chain
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

sys.path.append(str(Path(__file__).parent))

from memory_disk import MemoryDisk
from virtual_world import Process, World

from hcs_mesh.supervisors.journal import Journal, JournalDamaged, JournalFull, JournalPoisoned, recovery
from hcs_mesh.supervisors.journal.framing import Ending, scan

FOLDER = Path("/journals/machine")
SEGMENT_BYTES = 2048
FEW = settings(max_examples=50, stateful_step_count=25, deadline=None, phases=(Phase.generate,))
MANY = settings(FEW, max_examples=500, report_multiple_bugs=False)
"""Until a fault is found, which takes a few."""


class Said(msgspec.Struct, frozen=True, kw_only=True, tag="said"):
    number: int
    padding: bytes = b""


class BoundToForget(RuleBasedStateMachine):
    """A journal on a disk that forgets, beside the list of what it acknowledged."""

    disk_type = MemoryDisk

    @initialize(seed=st.integers(0, 1 << 20))
    def begin(self, seed: int) -> None:
        self.world = World(seed)
        self.disk = self.disk_type(self.world)
        self.held: list[tuple[int, Said]] = []
        """What has been acknowledged, with its sequence; 0 for what a checkpoint says."""
        self.groups: list[int] = [0]
        """The last number before each call: what was asked at once is written at once."""
        self.through = 0
        self.last = 0
        self._reopened()
        assert self.found == []

    # -- how it is driven -------------------------------------------------------------------------

    def _reopened(self) -> None:
        """Open the journal in a new process; what it replays is ``found``.

        Raises:
            JournalDamaged: it says so.
        """
        self.process: Process = self.world.process("writer")
        self.disk.belongs_to(self.process)

        async def reopen() -> None:
            self.journal = await Journal[Said].open(
                FOLDER, record_type=Said, segment_bytes=SEGMENT_BYTES, disk=self.disk
            )
            self.found = list(self.journal.replay())

        self._do(reopen())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the writer's process, to its end or to the process's own."""
        doing = self.process.run(work)
        assert self.world.run_until(lambda: doing.done() or self.process.dead, 60.0)
        if doing.done():
            doing.result()

    def _records(self, n: int, n_bytes: int) -> list[Said]:
        self.last += n
        return [Said(number=self.last - n + i + 1, padding=bytes(n_bytes)) for i in range(n)]

    def _said(self) -> list[Said]:
        return [record for _, record in self.held]

    def _n_torn(self) -> int:
        """How many of the last were written at once: only they can be torn."""
        began = max((one for one in self.groups if self.held and one < self.held[-1][1].number), default=0)
        return sum(record.number > began for _, record in self.held)

    def _written(self, sequence: int, records: list[Said]) -> None:
        self.held += [(sequence + i, record) for i, record in enumerate(records)]

    # -- what is asked of it ----------------------------------------------------------------------

    @rule(groups=st.lists(st.integers(1, 3), min_size=1, max_size=3), n_bytes=st.integers(0, 200))
    def append(self, groups: list[int], n_bytes: int) -> None:
        self.groups.append(self.last)
        asked = [self._records(n, n_bytes) for n in groups]

        async def write() -> None:
            sequences = await asyncio.gather(*(self._append(one) for one in asked))
            for sequence, one in zip(sequences, asked, strict=True):
                self._written(sequence, one)

        self._do(write())

    async def _append(self, records: list[Said]) -> int:
        if len(records) == 1:
            return await self.journal.append(records[0])
        return await self.journal.append_all(records)

    @rule(n=st.integers(0, 3), back=st.integers(0, 4))
    def checkpoint(self, n: int, back: int) -> None:
        """Let a few records stand for all but the ``back`` last ones."""
        through = self._bound(back)
        records = self._records(n, 40)

        async def shorten() -> None:
            assert await self.journal.checkpoint(records, through=through) == through

        self._do(shorten())
        self.held, self.through = self._shortened(records, through), through

    def _bound(self, back: int) -> int:
        # What an earlier checkpoint stands for cannot be told apart any more.
        return max(self.through, self.journal.statistics().last_sequence - back)

    def _shortened(self, records: list[Said], through: int) -> list[tuple[int, Said]]:
        return [(0, record) for record in records] + [one for one in self.held if one[0] > through]

    # -- what befalls it --------------------------------------------------------------------------

    @rule(power=st.booleans())
    def dies_between_two_words(self, power: bool) -> None:
        self.process.kill()
        if power:
            self.disk.lose_power()
        self._reopened()
        assert self.found == self._said()

    @rule(
        groups=st.lists(st.integers(1, 3), min_size=1, max_size=3),
        calls=st.integers(1, 12),
        n_bytes=st.integers(0, 200),
        power=st.booleans(),
    )
    def dies_while_it_appends(self, groups: list[int], calls: int, n_bytes: int, power: bool) -> None:
        self.groups.append(self.last)
        asked = [self._records(n, n_bytes) for n in groups]
        answered: list[list[Said]] = []

        async def write(one: list[Said]) -> None:
            sequence = await self._append(one)
            answered.append(one)
            self._written(sequence, one)

        async def write_all() -> None:
            await asyncio.gather(*(write(one) for one in asked))

        self.disk.crash_at = self.disk.n_calls + calls
        self._do(write_all())
        self.process.kill()
        if power:
            self.disk.lose_power()
        self._reopened()
        unanswered = asked[len(answered) :]
        assert answered == asked[: len(answered)]
        possible = [[*self._said(), *chain(*unanswered[:n])] for n in range(len(unanswered) + 1)]
        assert self.found in possible, "neither what was acknowledged nor that and whole appends behind it"
        self._take_over(self.found)

    @rule(n=st.integers(0, 3), back=st.integers(0, 4), calls=st.integers(1, 16), power=st.booleans())
    def dies_at_a_checkpoint(self, n: int, back: int, calls: int, power: bool) -> None:
        through = self._bound(back)
        records = self._records(n, 40)
        self.disk.crash_at = self.disk.n_calls + calls
        answered: list[int] = []

        async def shorten() -> None:
            answered.append(await self.journal.checkpoint(records, through=through))

        self._do(shorten())
        self.process.kill()
        if power:
            self.disk.lose_power()
        self._reopened()
        shortened = self._shortened(records, through)
        if answered or self.found != self._said():
            self.held, self.through = shortened, through
        assert self.found == self._said()

    @rule(groups=st.lists(st.integers(1, 2), min_size=1, max_size=3), n_bytes=st.integers(0, 200), full=st.booleans())
    def the_disk_is_full_or_fails(self, groups: list[int], n_bytes: int, full: bool) -> None:
        self.disk.full, self.disk.failing_syncs = full, not full
        self.groups.append(self.last)
        asked = [self._records(n, n_bytes) for n in groups]
        refused: list[list[Said]] = []
        refusal = JournalFull if full else JournalPoisoned

        async def write(one: list[Said]) -> None:
            try:
                sequence = await self._append(one)
            except refusal:
                refused.append(one)
            else:
                self._written(sequence, one)

        async def write_all() -> None:
            await asyncio.gather(*(write(one) for one in asked))

        self._do(write_all())
        self.disk.full, self.disk.failing_syncs = False, 0
        self.process.kill()
        self._reopened()
        # What was refused for want of room is not there; what a failed sync refused may be.
        possible = [[*self._said(), *chain(*refused[:n])] for n in range(1 if full else len(refused) + 1)]
        assert self.found in possible
        self._take_over(self.found)

    @rule()
    def is_cut(self) -> None:
        """Of the last log everything behind a byte is gone: no writer does that to what it acknowledged."""
        path = max(path for path in self.disk.paths(FOLDER) if path.suffix == ".log")
        whole = self.disk.read(path)
        at = self.world.random.randrange(len(whole.rstrip(b"\0")) + 1)
        n_behind = self._behind(path, at)
        self._damage(path, whole[:at], at)
        if self.found != self._said():
            assert len(self.found) >= len(self.held) - n_behind
            assert self.found == self._said()[: len(self.found)]
            self._take_over(self.found)

    def _behind(self, path: Path, at: int) -> int:
        """How many records of a log end behind a byte, and may be before it in an append that does."""
        found = scan(self.disk.read(path), int(path.stem))
        return sum(end > at for end in [*found.offsets[1:], found.end]) + 2

    @rule(mask=st.integers(1, 255))
    def is_flipped(self, mask: int) -> None:
        """One byte of a log or a snapshot is another; where it lies is the seed's, for hypothesis likes the first."""
        chance = self.world.random
        path = chance.choice(sorted(self.disk.paths(FOLDER)))
        flipped = bytearray(self.disk.read(path))
        at = chance.randrange(min(len(flipped), len(flipped.rstrip(b"\0")) + 20))
        flipped[at] ^= mask
        self._damage(path, bytes(flipped), at)
        if self.found != self._said():
            assert self.journal.recovery.torn is not None, "something is missing, and nothing is said"
            assert self.found == self._said()[: len(self.found)]
            assert len(self.found) >= len(self.held) - self._n_torn()
            self._take_over(self.found)

    def _damage(self, path: Path, data: bytes, at: int) -> None:
        """Have other bytes on the disk at the next opening; one that calls them damaged changes nothing."""
        self.process.kill()
        file = self.disk._names[path]
        before = bytes(file.data)
        file.data, file.durable, file.unsynced = bytearray(data), data, []
        there = {one: self.disk.read(one) for one in self.disk.paths(FOLDER)}
        try:
            self._reopened()
        except JournalDamaged as error:
            told = error
        else:
            return
        assert told.file == str(path)
        assert 0 <= told.offset <= at
        assert {one: self.disk.read(one) for one in self.disk.paths(FOLDER)} == there
        file.data, file.durable = bytearray(before), before
        self._reopened()
        assert self.found == self._said()

    def _take_over(self, found: list[Said]) -> None:
        """Go on from what was found; what was not acknowledged is numbered behind what was."""
        last = self.journal.statistics().last_sequence
        n_old = sum(sequence == 0 for sequence, _ in self.held)
        n_log = max(0, len(found) - n_old)
        self.held = [(0 if i < n_old else last - n_log + 1 + (i - n_old), record) for i, record in enumerate(found)]

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        with warnings.catch_warnings():
            # What killed processes had begun is thrown away half-way, and some of it would say so.
            warnings.simplefilter("ignore")
            self.world.bury()


def test_a_journal_replays_what_it_acknowledged_or_says_where_it_is_damaged() -> None:
    run_state_machine_as_test(BoundToForget, settings=FEW)


class _SyncsNothing(MemoryDisk):
    def sync_data(self, descriptor: int) -> None:
        pass


def _takes_damage_for_a_torn_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    def guess(*arguments: Any) -> Any:
        found = scan(*arguments)
        return dataclasses.replace(found, ending=Ending.TORN) if found.ending is Ending.DAMAGED else found

    monkeypatch.setattr(recovery, "scan", guess)


def _takes_a_torn_append_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hcs_mesh.supervisors.journal.framing.MORE", 0)


def _syncs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundToForget, "disk_type", _SyncsNothing)


@pytest.mark.parametrize("plant", [_takes_damage_for_a_torn_tail, _takes_a_torn_append_in_part, _syncs_nothing])
def test_the_journal_machine_finds_planted_faults(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, JournalDamaged, ExceptionGroup)):
        run_state_machine_as_test(BoundToForget, settings=MANY)
