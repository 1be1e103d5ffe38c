"""The settings of watched folders, from which acquisitions are imported by themselves (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import PurePath
from typing import Literal

from .errors import ConfigError
from .import_settings import RootSettings, plain_path
from .mail_address import is_address
from .omero_settings import OmeroSettings
from .section import Seconds, SecondsOrNone, Section


class WatchSettings(Section, frozen=True, kw_only=True):
    """One folder into which microscopes write: each folder in it, and each fileset of files in it, is an import."""

    path: str = ""
    """The absolute path of the folder that the acquisitions appear in."""
    name: str = ""
    """What it is called in lists and logs; else the folder's name."""
    owner: str = ""
    """Whose the imports are, by the name of a key; empty means the mesh's own."""
    mail: str = ""
    """The address that hears of each import."""
    screen: str = ""
    """The screen that the plates belong to."""
    project: str = ""
    """The project that images without a plate belong to."""
    dataset: str = ""
    """The dataset that images without a plate belong to."""
    group: str = ""
    """The owner's group at OMERO that the plates are for; empty means the usual one."""
    tags: tuple[str, ...] = ()
    """Tags of all plates that come from here."""
    priority: Literal["low", "normal", "high"] = "low"
    """Whose turn it is before others'; "low" lets those first that people wait for."""
    pattern: str = ""
    """How file names are made that no planner knows; see docs/imports.md."""
    exclude: tuple[str, ...] = ()
    """Globs of what stays behind; a folder of the watched folder that one matches is no import."""
    mode: Literal["upload", "in-place"] = "upload"
    """Whether the files are copied, or stay where they are with links to them in the repository."""
    delete_source: bool = False
    """Whether what was imported is deleted once it is certified, where the root allows it."""
    sentinel: str = ""
    """A file in the folder that shows that the mount is there; without it nothing is concluded. Empty means none."""
    look_s: Seconds = 10.0
    """Time between two looks at the folder and at what is still being written."""
    full_look_s: Seconds = 20.0
    """Time between two listings of the folder, unless its time tells, and looks at the times of those handed over."""
    deep_look_s: Seconds = 600.0
    """Time between two looks at the size of every file that was handed over, and at all names whatever a time tells."""
    quiet_s: SecondsOrNone = 60.0
    """How long names and sizes must stay the same before something is handed over."""
    late: Literal["report", "import"] = "report"
    """What happens to files that come after their import is done: people are told, or all of it is imported again."""

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or PurePath(self.path).name or self.path

    def __post_init__(self) -> None:
        """Refuse a place that cannot be found, an address that is none, and wishes that exclude each other.

        Raises:
            ConfigError: When path, sentinel or mail is not what it must be, or links would be made to what is deleted.
        """
        if not PurePath(self.path).is_absolute():
            raise ConfigError(f"watch.path is {self.path!r}, but must be an absolute path.")
        if PurePath(self.sentinel).is_absolute() or ".." in PurePath(self.sentinel).parts:
            raise ConfigError(
                f"watch.sentinel is {self.sentinel!r}, but must be the relative path of a file in {self.path}."
            )
        if self.mail and not is_address(self.mail):
            raise ConfigError(
                f"watch.mail is {self.mail!r}, which is no mail address.",
                hint="Write it as ada@example.org, in ASCII and without a name.",
            )
        if self.mode == "in-place" and self.delete_source:
            raise ConfigError(
                f"watch {self.path!r} deletes its sources and imports in place: the repository would have nothing.",
                hint="Set mode to 'upload', or delete_source to false.",
            )


def check_watches(watches: tuple[WatchSettings, ...], data: str = "", roots: Sequence[RootSettings] = ()) -> None:
    """Refuse watches that lie in each other or in the data folder, or hold it: files would be imported twice.

    Raises:
        ConfigError: When two of them overlap or share a name, or one lies below no root, or none that lets it delete.
    """
    for one, other in combinations(watches, 2):
        if _overlap(one.path, other.path):
            raise ConfigError(
                f"the watched folders {one.path!r} and {other.path!r} lie in each other.",
                hint="Watch folders that lie beside each other.",
            )
        if one.label == other.label:
            raise ConfigError(
                f"two watched folders are called {one.label!r}.", hint="Give each [[watch]] a name of its own."
            )
    for one in watches if data else ():
        if _overlap(one.path, data):
            raise ConfigError(
                f"the watched folder {one.path!r} and the data folder {data!r} lie in each other.",
                hint="Watch a folder outside of the mesh's data.",
            )
    for one in watches:
        _check_root(one, roots)


def _check_root(watch: WatchSettings, roots: Sequence[RootSettings]) -> None:
    """Refuse a watch of which every import would be refused; where links lead is looked at by each import.

    Raises:
        ConfigError: When no root is above it, or it deletes its sources below one that keeps them.
    """
    path = plain_path(watch.path)
    above = [root for root in roots if path.is_relative_to(plain_path(root.path))]
    if roots and not above:
        raise ConfigError(
            f"the watched folder {watch.path!r} lies below none of imports.roots: nothing in it could be imported.",
            hint="Add an [[imports.roots]] with its path, or write it as the root that it lies below is written.",
        )
    innermost = max(above, key=lambda root: len(plain_path(root.path).parts), default=None)
    if watch.delete_source and (innermost is None or not innermost.delete_source):
        below = f"below {innermost.path!r}" if innermost is not None else "where no root is set"
        raise ConfigError(
            f"the watched folder {watch.path!r} is to delete its sources, and sources {below} are not deleted.",
            hint="Set delete_source = true in its [[imports.roots]], or false in the [[watch]].",
        )


def _overlap(one: str, other: str) -> bool:
    first, second = PurePath(one), PurePath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


def check_owners(watches: Sequence[WatchSettings], omero: OmeroSettings) -> None:
    """Promise that somebody is there in whose name each folder can be imported.

    Raises:
        ConfigError: At OMERO every import is a person's, and a folder is nobody's; or there are no groups without it.
    """
    for one in watches:
        if omero.host and not one.owner:
            raise ConfigError(
                f"watch.owner of {one.path} is empty, but OMERO at {omero.host} takes plates from persons alone.",
                hint="Name the OMERO user whose the plates are to be.",
            )
        if one.group and not omero.host:
            raise ConfigError(
                f"watch.group of {one.path} is {one.group!r}, but there are no groups without OMERO.",
                hint="Leave it out, or name a server: [omero] host.",
            )
