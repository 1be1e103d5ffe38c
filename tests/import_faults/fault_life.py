"""One life of the import branch: the real actors on real files, with somebody who can hold every step of them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import fault_bugs
from fault_branch import AGAIN_S, Branch
from fault_gate import Gate
from fault_schedules import Going
from fault_ways import AGENT, BETWEEN_DELETIONS, DURING

from hcs_mesh.actors import ledger
from hcs_mesh.actors.agents import desk
from hcs_mesh.actors.imports import news
from hcs_mesh.actors.imports.agent_reader import AgentFile
from hcs_mesh.plates.holding import deletion
from hcs_mesh.plates.local import small_files
from hcs_mesh.plates.local.disk_file import DiskFile
from hcs_mesh.plates.local.folder_reader import OpenFile
from hcs_mesh.supervisors.journal import Journal, JournalFull

BEAT_S = 0.05


def point_of(record: Any) -> str:
    """The name of a record's place: its tag, and the phase that it begins."""
    match str(record.__struct_config__.tag):
        case "import.entered":
            return f"import.entered.{record.phase}"
        case "watch.unit":
            return f"watch.{record.step}"
        case tag:
            return tag


def hold_at_records(gate: Gate) -> None:
    """Stop at both sides of every append of every journal."""
    append = Journal.append

    async def held_append(journal: Journal[Any], record: Any) -> int:
        point, names = point_of(record), ("import_id", "notice_id", "unit")
        of = next((found for name in names if (found := getattr(record, name, ""))), "")
        gate.at(point, "before", of=of)
        try:
            sequence = await append(journal, record)
        except JournalFull:
            gate.at("journal full", point, of=of)
            raise
        gate.at(point, "after", of=of, n_to=len(getattr(record, "to", ())))
        return sequence

    Journal.append = held_append  # type: ignore[method-assign]


class Bytes:
    """Counts the bytes that pass, and stops between two of them."""

    def __init__(self, gate: Gate, point: str, stop_at: int) -> None:
        self._gate = gate
        self._point = point
        self._left = stop_at
        self._counting = threading.Lock()

    def wrap(self, owner: Any, *, shorten: bool) -> None:
        """Look at everything that is read into a buffer; a read ends where the stop is."""
        real: Callable[[Any, memoryview], int] = owner.read_into

        def read_into(file: Any, buffer: memoryview) -> int:
            with self._counting:
                left = self._left
            if left < 0:
                return real(file, buffer)
            n = real(file, buffer[: left + 1] if shorten else buffer)
            with self._counting:
                before, self._left = self._left, self._left - n
            if before >= 0 > self._left or (before >= 0 and n == 0 and before == 0):
                self._gate.at(self._point, DURING)
            return n

        owner.read_into = read_into

    def wrap_small(self) -> None:
        """Look at small files, too, which are read at once: the one that the stop is in, on both sides of it."""
        real = small_files.read_content

        def read_content(descriptor: int, n_bytes: int) -> bytes:
            with self._counting:
                left, self._left = self._left, self._left - n_bytes
            if not left >= 0 > self._left:
                return real(descriptor, n_bytes)
            content = real(descriptor, left)
            self._gate.at(self._point, DURING)
            return content + real(descriptor, n_bytes - left)

        small_files.read_content = read_content


class _HeldSystem:
    """The system as whoever deletes a source sees it: it is held once, when so many files are gone."""

    def __init__(self, gate: Gate, stop_behind: int) -> None:
        self._gate = gate
        self._left = stop_behind

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def unlink(self, path: str, *, dir_fd: int) -> None:
        os.unlink(path, dir_fd=dir_fd)
        self._left -= 1
        if self._left == -1:
            self._gate.at(BETWEEN_DELETIONS, DURING)


def hold_between_deletions(gate: Gate, stop_behind: int) -> None:
    """Stop once between two files of a source that is being deleted."""
    deletion.os = _HeldSystem(gate, stop_behind)  # type: ignore[attr-defined]


def live(going: Going, tell: int, hear: int) -> None:
    """Be the import branch until the world lets go or kills it; never returns."""
    code = 1
    try:
        logging.disable(logging.CRITICAL)
        gate = Gate(tell, hear)
        ledger.AGAIN_S = news.AGAIN_S = AGAIN_S
        desk.BEAT_S = BEAT_S
        if going.bug:
            fault_bugs.plant(going.bug)
        hold_at_records(gate)
        if going.transfer_byte >= 0:
            reader = AgentFile if going.way == AGENT else OpenFile
            transferred = Bytes(gate, "transfer byte", going.transfer_byte)
            transferred.wrap(reader, shorten=True)
            transferred.wrap_small()
        if going.verify_byte >= 0:
            Bytes(gate, "verify byte", going.verify_byte).wrap(DiskFile, shorten=False)
        if going.deleted_file >= 0:
            hold_between_deletions(gate, going.deleted_file)
        asyncio.run(Branch(going, gate).run())
        code = 0
    except BaseException as error:  # noqa: BLE001 - the process ends here, and says why
        import traceback

        traceback.print_exc()
        print(f"a life ended by {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)
