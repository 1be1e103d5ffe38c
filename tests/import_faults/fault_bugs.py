"""Deliberate faults in the import's own code, each of which the fault test must find."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count, islice
from typing import Any, NamedTuple

import msgspec
from fault_schedules import schedule
from fault_way_bugs import (
    Patches,
    away_is_a_failure,
    certified_in_place,
    changes_deleted,
    deleted_before_certified,
    deletion_not_asked_again,
    found_is_taken_for_known,
    handed_over_under_another_key,
    links_not_proven,
    links_not_recorded,
    not_compared_with_the_workstation,
    nothing_let_go,
    touched_is_changed,
)
from fault_ways import AGENT, CHANGES, DELETING, IN_PLACE, KINDS, UPLOAD, WATCH, way_of

from hcs_mesh.actors.imports import ending
from hcs_mesh.actors.imports.book import ImportBook
from hcs_mesh.actors.imports.ending import ImportEnding
from hcs_mesh.actors.imports.holds import ImportHolds
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.ledger import Ledger
from hcs_mesh.actors.notices.outbox import Outbox
from hcs_mesh.plates.holding import reader as held_reader
from hcs_mesh.plates.holding import sweep
from hcs_mesh.plates.local import certificate_shelf, copying, small_files
from hcs_mesh.plates.local.copying import Copier
from hcs_mesh.plates.local.folder_reader import OpenFile
from hcs_mesh.plates.local.import_shelf import ImportShelf
from hcs_mesh.plates.local.registration import registered_plates
from hcs_mesh.supervisors.journal import JournalFull


class Planted(NamedTuple):
    """A bug: what it puts in place of what, and which schedules are likeliest to show it."""

    patches: Callable[[], Patches]
    kinds: tuple[str, ...]
    points: tuple[str, ...] = ()
    ways: tuple[str, ...] = (UPLOAD,)

    def seeds(self, n: int) -> list[int]:
        """The first ``n`` schedules that begin with such a fault at such a place."""
        likely = (
            seed
            for seed in count()
            if way_of(seed) in self.ways
            and (first := schedule(seed).faults[0]).kind in self.kinds
            and (not self.points or first.point in self.points)
        )
        return list(islice(likely, n))


def _never_verified() -> Patches:
    return ((ImportShelf, "verify", lambda self, import_id, files, **rest: None),)


def _changes_not_noticed() -> Patches:
    return (
        (copying, "check_settled", lambda file, now, name: None),
        (small_files, "_is_known", lambda file, seen, ctime_ns: True),
        (held_reader.OpenHeldFile, "look", lambda self: self._file.expected),
    )


def _resumed_without_comparing() -> Patches:
    def compare(self: Any, reader: Any, descriptor: int, digest: Any, part: str, size: int) -> int:
        n = min(os.fstat(descriptor).st_size, size)
        digest.update(os.pread(descriptor, n, 0))
        os.lseek(descriptor, n, os.SEEK_SET)
        reader.seek(n)
        return n

    return ((Copier, "_compare", compare),)


def _told_again() -> Patches:
    return ((Outbox, "has", lambda self, key: False),)


def _failure_not_told() -> Patches:
    real = ImportLife._turn

    def turn(self: Any, record: Any) -> str:
        note = real(self, record)
        self.untold = "" if self.untold.startswith("failed") else self.untold
        return note

    return ((ImportLife, "_turn", turn),)


def _registered_twice() -> Patches:
    real = ImportShelf.register

    def register(self: Any, import_id: str, filesets: Any, **rest: Any) -> Any:
        with self._catalogue.reading() as connection:
            n = 0
            while registered_plates(connection, f"{import_id}{'x' * n}") is not None:
                n += 1
        return real(self, f"{import_id}{'x' * n}", filesets, **rest)

    return ((ImportShelf, "register", register),)


def _holds_swept_away() -> Patches:
    async def sweep_all(self: Any, staging: Any) -> None:
        await self._means.threads.run(lambda: sweep(staging, tuple(self._means.book.lives)))

    # What was let go of is read from the source, while that is what it was: a bug that would be borne.
    return ((ImportHolds, "sweep", sweep_all), (held_reader, "can_be_read_again", lambda held, file: False))


def _hold_not_released() -> Patches:
    from hcs_mesh.actors.imports.local_source import LocalSource

    async def release(self: Any, held: Any) -> None:
        pass

    async def sweep_none(self: Any, staging: Any) -> None:
        pass

    return ((LocalSource, "release", release), (ImportHolds, "sweep", sweep_none))


def _key_forgotten() -> Patches:
    return ((ImportBook, "by_key", lambda self, asker, key: None),)


def _same_folder_twice() -> Patches:
    return ((ImportBook, "same_as", lambda self, digest, *, but="": None),)


def _refused_record_counts() -> Patches:
    real = Ledger.write

    async def write(self: Any, record: Any) -> None:
        try:
            await real(self, record)
        except JournalFull:
            self._take_in(record)

    return ((Ledger, "write", write),)


def _told_before_written() -> Patches:
    real = Ledger.write_surely

    async def write_surely(self: Any, record: Any) -> None:
        if str(record.__struct_config__.tag) == "notice.posted":
            self._take_in(record)
        else:
            await real(self, record)

    return ((Ledger, "write_surely", write_surely),)


def _source_touched() -> Patches:
    real = OpenFile.close

    def close(self: Any) -> None:
        os.utime(self.name, ns=(0, 0))
        real(self)

    return ((OpenFile, "close", close),)


def _certified_after_the_end() -> Patches:
    async def certify(self: Any, life: Any) -> None:
        pass

    return ((ImportEnding, "_certify", certify),)


def _changes_certified() -> Patches:
    async def refuse_nothing(means: Any, life: Any) -> None:
        pass

    return ((ending, "refuse_changed", refuse_nothing),)


def _half_a_certificate() -> Patches:
    real = certificate_shelf.store

    def store(data: Any, signed: Any) -> Any:
        files = signed.certificate.files
        less = msgspec.structs.replace(signed.certificate, files=files[:-1])
        return real(data, msgspec.structs.replace(signed, certificate=less))

    from hcs_mesh.actors.imports import prover

    return ((prover, "store", store),)


DEATHS = ("kill", "reboot")
COPYING = ("import.held", "import.entered.registered", "import.entered.transferring", "transfer byte")
PROVING = ("import.stored", "import.entered.verifying", "import.verified", "import.entered.importing")
HANDING_OVER = ("import.accepted", "watch.handing over", "watch.handed over")

PLANTED: dict[str, Planted] = {
    "certified without verification": Planted(_never_verified, ("corrupt",)),
    "changes of the source are not noticed": Planted(_changes_not_noticed, ("overwrite",), ("transfer byte",)),
    "resumed without comparing": Planted(_resumed_without_comparing, ("reboot",), ("transfer byte",)),
    "a notice that is asked for again is sent again": Planted(_told_again, DEATHS, ("import.told",)),
    "a failure is told to nobody": Planted(_failure_not_told, ("unmount",)),
    "plates are registered again": Planted(_registered_twice, DEATHS, ("import.entered.annotating",)),
    "held sources are let go of at a restart": Planted(_holds_swept_away, DEATHS, COPYING),
    "a hold is never released": Planted(_hold_not_released, KINDS),
    "the key of an order is forgotten": Planted(_key_forgotten, DEATHS),
    "the same folder is imported twice": Planted(_same_folder_twice, ("stop",)),
    "a record that a full disk refused counts": Planted(_refused_record_counts, ("fill",)),
    "a notice is sent before it is written down": Planted(_told_before_written, KINDS),
    "the source is touched": Planted(_source_touched, KINDS),
    "done without a certificate": Planted(_certified_after_the_end, KINDS),
    "a certificate is not what was signed": Planted(_half_a_certificate, KINDS),
    "an import in place is certified": Planted(certified_in_place, KINDS, (), (IN_PLACE,)),
    "what links lead to is not proven": Planted(links_not_proven, ("overwrite",), ("transfer byte",), (IN_PLACE,)),
    "what links led to is not written down": Planted(links_not_recorded, KINDS, (), (IN_PLACE,)),
    "a source is deleted before it is certified": Planted(deleted_before_certified, KINDS, (), (DELETING,)),
    "what changed since it was read is certified": Planted(_changes_certified, CHANGES, PROVING, (UPLOAD, AGENT)),
    # What changed before it was certified is not certified, and so not deleted.
    "what changed since is deleted too": Planted(changes_deleted, CHANGES, ("import.certified",), (DELETING,)),
    "whether it may be deleted is not asked again": Planted(deletion_not_asked_again, DEATHS, (), (DELETING,)),
    "a workstation never lets go": Planted(nothing_let_go, ("kill agent", "cut link"), (), (AGENT,)),
    "a workstation that is away has failed": Planted(away_is_a_failure, ("kill agent", "cut link"), (), (AGENT,)),
    "a workstation is not asked for what is there": Planted(
        not_compared_with_the_workstation, ("reboot",), ("transfer byte",), (AGENT,)
    ),
    "a watch hands over under another key": Planted(handed_over_under_another_key, DEATHS, HANDING_OVER, (WATCH,)),
    "what was touched is imported again": Planted(touched_is_changed, ("touch",), (), (WATCH,)),
    "what came while nobody watched is not found": Planted(found_is_taken_for_known, DEATHS, (), (WATCH,)),
}


def plant(bug: str) -> None:
    """Have a bug in the code of this process."""
    for owner, name, faulty in PLANTED[bug].patches():
        setattr(owner, name, faulty)
