"""What follows from a look at a watched folder: sights in, what is to be done with its units out (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ...config.watch_settings import WatchSettings
from ...messages.watches import LateUnit, WaitingUnit, WatchState, WatchStatus
from .book import KnownUnits, WatchedUnit, loose_names
from .sight import Mark, Seen, Sight, Wish, seen

MAX_ASIDE = 20
"""Loose files that are named as what nothing here reads."""


class HandOver(NamedTuple):
    """Have this unit imported."""

    unit: str
    digest: str
    names: tuple[str, ...] = ()
    generation: int = 1
    forced: bool = False
    newest_ns: int = 0
    mark: Mark = Mark()


class Compare(NamedTuple):
    """A unit that was handed over is not what it was: see what its import has of it."""

    unit: str
    digest: str
    names: tuple[str, ...] = ()


class Group(NamedTuple):
    """Ask which of these loose files belong together; those that are ``ready`` are at rest."""

    names: tuple[str, ...]
    ready: frozenset[str]
    sizes: Mapping[str, int]


class Vanished(NamedTuple):
    """A unit was taken away, or is there as it was, perhaps under new times.

    ``newest_ns`` is the time of its latest file and ``mark`` its folder's, where they were seen.
    """

    unit: str
    gone: bool
    newest_ns: int = 0
    mark: Mark = Mark()


Instruction = HandOver | Compare | Group | Vanished


class WatchedFolder:
    """One watched folder: which of its units are at rest, new, changed or gone."""

    def __init__(self, settings: WatchSettings, units: KnownUnits) -> None:
        """Decide by the units that the book knows of it, which stay up to date."""
        self.settings = settings
        self.units = units
        self.n_looks = 0
        self._state: WatchState = "not looked at"
        self.missing = ""
        self._looked_at_unix_s = 0.0
        self._rest: dict[str, tuple[object, float]] = {}
        self._last: dict[str, Seen] = {}
        self._aside: dict[str, int] = {}
        self._put_off: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self._sizes: Mapping[str, int] = {}
        self._waiting: dict[str, str] = {}
        self._grouped_at_s: float | None = None
        self._wish = Wish()
        self._wished_at: object = None
        self._gone_at: tuple[object, int] = (None, -1)

    def wish(self) -> Wish:
        """What the next look is to find out."""
        state = (self.units.revision, frozenset(self._rest), frozenset(self._aside))
        if state != self._wished_at:
            # With ten thousand units this costs too much for every look.
            there = list(self.units.there())
            loose = {one.unit: one.names for one in there if not one.is_folder}
            self._wish = Wish(
                folders=frozenset(one.unit for one in there if one.is_folder),
                loose=loose,
                taken=frozenset(name for names in loose.values() for name in names),
                restless=frozenset(one.unit for one in there if one.unit in self._rest),
                aside=frozenset(self._aside),
            )
            self._wished_at = state
        return self._wish

    def see(self, sight: Sight, *, now_s: float, now_unix_s: float) -> tuple[Instruction, ...]:
        """What is to be done; it is said again at the next look as long as nothing was done."""
        missing = sight.missing or self._doubt(sight)
        self._looked_at_unix_s = now_unix_s
        self._state, self.missing = ("missing", missing) if missing else ("there", "")
        self.n_looks += 1
        if missing:
            # What is behind the mount now may be anything: rest is seen anew.
            self._rest.clear()
            self._waiting.clear()
            return ()
        self._waiting = dict(sight.trouble)
        self._faults = {name: why for name, why in self._faults.items() if name in sight.names}
        found = [*self._gone(sight), *self._units_of(sight, now_s), *self._loose_of(sight, now_s)]
        return tuple(found)

    def set_aside(self, names: Iterable[str]) -> None:
        """These loose files are no images that anything here reads; they are asked about again with the next ones."""
        self._put_off.clear()
        self._aside.update((name, self._sizes.get(name, 0)) for name in names)

    def put_off(self, names: Iterable[str], reason: str) -> None:
        """These loose files could not be grouped now; they are asked about again."""
        self._put_off = dict.fromkeys(names, reason)

    def fault(self, name: str, reason: str) -> None:
        """Say of a unit or loose file why it could not be dealt with, or with an empty reason that it could."""
        self._faults.pop(name, None)
        if reason:
            self._faults[name] = reason

    def status(self) -> WatchStatus:
        """How it stands with the folder."""
        there = list(self.units.there())
        return WatchStatus(
            folder=self.settings.path,
            name=self.settings.label,
            state=self._state,
            reason=self.missing,
            looked_at_unix_s=self._looked_at_unix_s,
            n_units=len(there) + sum(unit not in self.units or self.units[unit].gone for unit in self._waiting),
            n_handed_over=sum(one.step == "handed over" for one in there),
            n_late_files=sum(one.n_late for one in there),
            waiting=tuple(WaitingUnit(unit=unit, reason=reason) for unit, reason in self._told_waiting()),
            late=tuple(
                LateUnit(unit=one.unit, import_id=one.import_id, n_files=one.n_late, files=one.late)
                for one in there
                if one.n_late
            ),
        )

    def _told_waiting(self) -> Iterator[tuple[str, str]]:
        yield from ((unit, reason) for unit, reason in self._waiting.items() if unit not in self._faults)
        yield from self._faults.items()
        for one in self.units.not_taken():
            if one.unit in self._faults:
                continue
            yield one.unit, f"refused: {one.reason}" if one.step == "refused" else "it is being handed over"
        for name in sorted(self._aside)[:MAX_ASIDE]:
            yield name, "nothing here reads it as an image"

    def _doubt(self, sight: Sight) -> str:
        if sight.names or self.settings.sentinel:
            return ""
        there = sum(1 for _ in self.units.there())
        if not there:
            return ""
        units = "the unit that was" if there == 1 else f"all {there} units that were"
        return f"{units} there are gone at once, as when a mount is not there; a sentinel would tell"

    def _gone(self, sight: Sight) -> Iterator[Vanished]:
        if self._gone_at[0] is sight.names and self._gone_at[1] == self.units.revision:
            return
        found = [
            one.unit
            for one in self.units.there()
            if one.unit not in sight.names and not any(name in sight.names for name in one.names)
        ]
        if not found:
            self._gone_at = (sight.names, self.units.revision)
        for unit in found:
            self._rest.pop(unit, None)
            last, known = self._last.pop(unit, None), self.units[unit]
            at = last if last is not None and last.newest_ns else known
            yield Vanished(unit, gone=True, newest_ns=at.newest_ns, mark=at.mark)

    def _units_of(self, sight: Sight, now_s: float) -> Iterator[Instruction]:
        for unit, now in sight.units.items():
            known = self.units.get(unit)
            is_new = known is None or (_came_back_new(known, now) if known.gone else self._is_replaced(known, now))
            if known is not None and known.digest == now.digest and not is_new:
                self._rest.pop(unit, None)
                # It may have been touched since it was handed over, and is the same all the same.
                self._last[unit] = now
                if known.gone or _is_to_be_noted(known, now):
                    yield Vanished(unit, gone=False, newest_ns=now.newest_ns, mark=now.mark)
            elif known is None or known.gone or is_new:
                if self._folder_rests(unit, now, now_s):
                    generation = known.generation + 1 if known else 1
                    yield HandOver(unit, now.digest, generation=generation, newest_ns=now.newest_ns, mark=now.mark)
            elif self._rests(unit, now.digest, now_s):
                yield Compare(unit, now.digest, known.names)
            else:
                self._waiting[unit] = f"it has changed since it was handed over: {self._why(unit, now_s)}"

    def _is_replaced(self, known: WatchedUnit, now: Seen) -> bool:
        """Whether it was taken away and made anew between two looks, or while the mesh was down.

        Files of other times are no sign of it alone, since they may have been touched, nor is another folder, since its
        inode may be another one after each mount; what was seen of it in this life counts beside what is written down.
        """
        return all(
            now.mark.is_other(before.mark) and 0 != before.newest_ns != now.newest_ns
            for before in (known, self._last.get(known.unit, known))
        )

    def _folder_rests(self, unit: str, now: Seen, now_s: float) -> bool:
        if not now.n_files:
            self._waiting[unit] = "there is no file in it yet"
            return False
        if not self._rests(unit, now.digest, now_s):
            self._waiting[unit] = self._why(unit, now_s)
            return False
        return True

    def _rests(self, unit: str, shape: object, now_s: float) -> bool:
        before = self._rest.get(unit)
        if before is None or before[0] != shape:
            self._rest[unit] = (shape, now_s)
        return now_s - self._rest[unit][1] >= self.settings.quiet_s

    def _why(self, unit: str, now_s: float) -> str:
        for_s = now_s - self._rest[unit][1]
        return f"at rest for {for_s:.0f} of {self.settings.quiet_s:g} s" if for_s else "it is being written to"

    def _loose_of(self, sight: Sight, now_s: float) -> Iterator[Instruction]:
        for gone in [name for name in self._aside if name not in sight.names]:
            del self._aside[gone]
        self._sizes = sight.loose
        new = {name: size for name, size in sight.loose.items() if self._aside.get(name) != size}
        ready = frozenset(name for name, size in new.items() if self._rests(name, size, now_s))
        for name in new:
            if name not in ready:
                self._waiting[name] = self._why(name, now_s)
            else:
                self._waiting[name] = self._put_off.get(name, "at rest; it is grouped with what lies beside it")
        for stale in [name for name in self._rest if not (name in new or name in self.units or name in sight.units)]:
            del self._rest[stale]
        # An acquisition that writes loose files for hours is not to be asked about with each of them.
        if ready and (self._grouped_at_s is None or now_s - self._grouped_at_s >= self.settings.quiet_s):
            self._grouped_at_s = now_s
            related = _related(ready, loose_names(self.units.values()))
            yield Group(tuple(sorted({*new, *self._aside, *related})), ready, self._sizes)


def handed_over(
    filesets: Iterable[Mapping[str, int]], asked: Group, units: Mapping[str, WatchedUnit]
) -> tuple[tuple[HandOver | Compare, ...], frozenset[str]]:
    """What follows from how loose files were grouped, each fileset its names and sizes; and those that no group has.

    A fileset waits until all its files are at rest. One that has a file of a unit is that unit, changed.
    """
    belongs = loose_names(units.values())
    found: list[HandOver | Compare] = []
    placed: set[str] = set()
    for files in filesets:
        names = tuple(sorted(files))
        placed.update(names)
        new = [name for name in names if name not in belongs]
        if not new or not asked.ready.issuperset(new):
            continue
        digest = seen((name, asked.sizes.get(name, size)) for name, size in files.items()).digest
        owners = [belongs[name] for name in names if name in belongs]
        if owners:
            found.append(Compare(owners[0], digest, names))
        else:
            before = units.get(names[0])
            found.append(HandOver(names[0], digest, names, before.generation + 1 if before else 1))
    return tuple(found), frozenset(asked.ready - placed)


def _came_back_new(gone: WatchedUnit, now: Seen) -> bool:
    """Whether files of the same names and sizes are others than those that were taken away."""
    return 0 != gone.newest_ns != now.newest_ns


def _is_to_be_noted(known: WatchedUnit, now: Seen) -> bool:
    """Whether the next life has to know of new times, or of the mark of what an earlier version has handed over.

    Another inode alone is not worth it: where each mount has its own, all units would be written down each time.
    """
    learnt = not known.inode or (now.mark.born_ns and not known.born_ns)
    return bool(now.mark.inode and (learnt or known.newest_ns != now.newest_ns))


def _related(names: Iterable[str], known: Mapping[str, str]) -> set[str]:
    """The files of all loose units of which one begins as a new file does."""
    beginnings = {_beginning(name) for name in names}
    units = {unit for name, unit in known.items() if _beginning(name) in beginnings}
    return {name for name, unit in known.items() if unit in units}


def _beginning(name: str) -> str:
    return name[:3]
