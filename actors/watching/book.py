"""The book of watched folders: what was handed over to the imports, and in which shape (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from .sight import Mark

Step = Literal["handing over", "handed over", "refused"]


class WatchedUnit(msgspec.Struct, frozen=True, kw_only=True, tag="watch.unit"):
    """One folder or fileset of a watched folder as the journal knows it; the latest record of it counts.

    A folder's ``unit`` ends in "/"; that of loose files is the first of their ``names``. ``digest`` tells the names
    and sizes that were last taken note of. ``gone`` says that it was taken away; it is remembered, so that what
    comes under its name later is another generation: ``newest_ns``, the time of a folder's latest file when it was last
    seen, tells a new acquisition of the same names and sizes from what was only moved; 0 where it is not known.
    ``inode`` and ``born_ns`` are a folder's ``mark``; records of earlier versions have none.
    """

    folder: str
    unit: str
    at_unix_s: float
    step: Step
    generation: int = 1
    forced: bool = False
    digest: str = ""
    names: tuple[str, ...] = ()
    import_id: str = ""
    reason: str = ""
    late: tuple[str, ...] = ()
    n_late: int = 0
    gone: bool = False
    newest_ns: int = 0
    inode: int = 0
    born_ns: int = 0

    @property
    def mark(self) -> Mark:
        """Which folder was last known to have the name."""
        return Mark(self.inode, self.born_ns)

    @property
    def key(self) -> str:
        """What makes handing it over again harmless."""
        return f"watch {self.folder} {self.unit} {self.generation}"

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, and no loose files."""
        return self.unit.endswith("/")


class KnownUnits(Mapping[str, WatchedUnit]):
    """The units of one watched folder, by name; ``revision`` grows with every change."""

    def __init__(self) -> None:
        self.revision = 0
        self._not_taken: set[str] = set()
        self._units: dict[str, WatchedUnit] = {}

    def __getitem__(self, unit: str) -> WatchedUnit:
        return self._units[unit]

    def __iter__(self) -> Iterator[str]:
        return iter(self._units)

    def __len__(self) -> int:
        return len(self._units)

    def put(self, record: WatchedUnit) -> None:
        """Take the latest of a unit in."""
        self._units[record.unit] = record
        (self._not_taken.discard if record.step == "handed over" or record.gone else self._not_taken.add)(record.unit)
        self.revision += 1

    def not_taken(self) -> tuple[WatchedUnit, ...]:
        """Those that the imports do not have, as far as is known, although it was tried."""
        return tuple(self._units[unit] for unit in sorted(self._not_taken))

    def there(self) -> Iterator[WatchedUnit]:
        """Those that were not taken away."""
        return (one for one in self._units.values() if not one.gone)


class WatchBook:
    """The units of every watched folder."""

    def __init__(self) -> None:
        self._folders: dict[str, KnownUnits] = {}

    def apply(self, record: WatchedUnit) -> None:
        """Take a record in."""
        self.units(record.folder).put(record)

    def units(self, folder: str) -> KnownUnits:
        """The units of one watched folder; they stay up to date."""
        return self._folders.setdefault(folder, KnownUnits())

    def compacted(self) -> tuple[WatchedUnit, ...]:
        """The records that a checkpoint needs: the latest of each unit."""
        return tuple(record for units in self._folders.values() for record in units.values())


def loose_names(units: Iterable[WatchedUnit]) -> dict[str, str]:
    """For each loose file that was handed over the unit that it belongs to."""
    return {name: one.unit for one in units if not one.gone for name in one.names}
