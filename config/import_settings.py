"""The settings of where imports may come from, and of how an import behaves beside an acquisition (pure)."""

from __future__ import annotations

from itertools import combinations
from pathlib import PurePath
from typing import Annotated, Literal

from msgspec import Meta

from .errors import ConfigError
from .hours import parse_hours
from .section import AtOnce, Count, Days, Gibibytes, MebibytesPerSecond, Seconds, SecondsOrNone, Section, Times

Accounts = Literal["auto", "same-name", "off"]
"""Whose permissions count: "same-name" those of the system's account called as the requester's key is, "off" those
of the mesh alone; "auto" is "same-name" where the mesh runs as root, who could read everything for everybody."""

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class RootSettings(Section, frozen=True, kw_only=True):
    """One folder below which sources of imports may lie."""

    path: str = ""
    """The absolute path of the folder."""
    staging: str = ""
    """Where links to held sources lie, on the same file system; empty means `.hcs-mesh-held` in the folder."""
    delete_source: bool = False
    """Whether `--delete-source` may remove what was imported from here, once there is a certificate."""
    users: tuple[str, ...] = ()
    """The names of the keys that may import from here; empty means all of them."""

    def __post_init__(self) -> None:
        """Refuse a path that means another place from another folder.

        Raises:
            ConfigError: When path or staging is not absolute.
        """
        if not PurePath(self.path).is_absolute():
            raise ConfigError(f"imports.roots: path is {self.path!r}, but must be an absolute path.")
        if self.staging and not PurePath(self.staging).is_absolute():
            raise ConfigError(f"imports.roots: staging is {self.staging!r}, but must be an absolute path.")


class GuestSettings(Section, frozen=True, kw_only=True):
    """How much of a machine an import may take that is there for something else."""

    nice: Annotated[int, Meta(ge=0, le=19)] = 19
    """How far copying threads stand back from the processor; 19 is furthest."""
    io_class: Literal["idle", "best-effort", "none"] = "best-effort"
    """The disk's priority: "idle" is served when nobody else asks, "best-effort" last among equals, "none" as all."""
    limit_mib_s: MebibytesPerSecond = 0.0
    """The most that all imports read in a second, in MiB; 0 means no limit."""
    hours: str = ""
    """When sources are read, as "18:00-07:00" in local time; more than one are separated by commas; empty is always."""
    weekdays: tuple[Weekday, ...] = ()
    """The days on which the hours begin; empty is every day."""
    back_off: bool = True
    """Whether imports make way while somebody else writes to the same disk."""
    least_share: Annotated[float, Meta(gt=0, le=1)] = 0.22
    """What is read all the same while others write, of what is read when nobody does: imports come to their end."""

    def __post_init__(self) -> None:
        """Refuse hours that nobody could keep to.

        Raises:
            ConfigError: When hours is no list of spans, or a weekday has no such name.
        """
        parse_hours(self.hours, self.weekdays)


class ImportSettings(Section, frozen=True, kw_only=True):
    """How an import watches, copies, proves and tries again."""

    settle_s: Seconds = 1.0
    """Time between two looks at a folder that may still be written to."""
    settle_scans: Times = 2
    """Looks in a row that must find the same names, sizes and times."""
    pending_patience_s: SecondsOrNone = 10.0
    """How long a source must be quiet before what its metadata declare and is not there counts as missing; it is
    waited for twice as long as the acquisition has paused so far, if that is longer."""
    longest_patience_s: SecondsOrNone = 21_600.0
    """The longest such wait, whatever the acquisition's pauses were, and the wait for the end that a microscope always
    writes: six hours."""
    settling_at_once: AtOnce = 16
    """Sources that are watched, planned and probed at the same time; the others wait in their order."""
    silent_s: Seconds = 12.0
    """Time without an answer after which a disk is held for silent: its imports wait for it, and nobody else does."""
    copying_at_once: AtOnce = 2
    """Imports that are copied or verified at the same time; those of a higher priority first."""
    transfer_threads: AtOnce = 2
    """Files copied and hashed at the same time."""
    checksum: Literal["sha1", "sha256"] = "sha1"
    """What files are hashed with on their way into the repository; SHA-1 is OMERO's own."""
    certify_same_disk: bool = False
    """Whether an import gets its safe-to-delete certificate although source and repository share a disk."""
    max_attempts: Times = 8
    """Tries of one phase before the import fails; `imports retry` takes it up again where it stopped."""
    first_retry_s: Seconds = 1.0
    """The wait before the second try; each further one doubles it."""
    longest_retry_s: Seconds = 300.0
    """The longest wait between two tries."""
    held_look_s: Seconds = 30.0
    """Time between two looks at what held sources cost."""
    held_floor_gib: Gibibytes = 10.0
    """Free space, in GiB, below which held files are let go of that can be read again from their source."""
    keep_days: Days = 365.0
    """Days for which a finished import stays on the list; its plates and its certificate stay for good."""
    keep_ended: Count = 10_000
    """Finished imports that stay on the list at the most, beside those of the last hour."""
    keep_keys_days: Days = 30.0
    """Days for which the key of an import that was forgotten still gets its id, so that nothing is imported twice."""
    accounts: Accounts = "auto"
    """Whose permissions on a source count beside the mesh's own."""
    roots: tuple[RootSettings, ...] = ()
    """The folders below which sources may lie; empty leaves naming paths to administrators."""

    def __post_init__(self) -> None:
        """Refuse a first wait above the longest, and two roots of one folder.

        Raises:
            ConfigError: When first_retry_s or pending_patience_s is above its longest, or two roots have one path.
        """
        if self.first_retry_s > self.longest_retry_s:
            raise ConfigError(
                f"imports.first_retry_s ({self.first_retry_s:g}) is above imports.longest_retry_s "
                f"({self.longest_retry_s:g}).",
                hint="Raise longest_retry_s or lower first_retry_s.",
            )
        if self.pending_patience_s > self.longest_patience_s:
            raise ConfigError(
                f"imports.pending_patience_s ({self.pending_patience_s:g}) is above imports.longest_patience_s "
                f"({self.longest_patience_s:g}).",
                hint="Raise longest_patience_s or lower pending_patience_s.",
            )
        _check_roots(self.roots)


def _check_roots(roots: tuple[RootSettings, ...]) -> None:
    """Refuse two roots of one folder: what the second says of its users would mean nothing.

    Raises:
        ConfigError: When two have the same path, by its text; where links lead is looked at by `config check`.
    """
    for one, other in combinations(roots, 2):
        if plain_path(one.path) == plain_path(other.path):
            raise ConfigError(
                f"imports.roots has {other.path!r} twice.",
                hint="Keep one [[imports.roots]] of each folder, with all of its users.",
            )


def plain_path(path: str) -> PurePath:
    """A path without '..', by its text alone."""
    # To follow a link into a mount that hangs would keep the whole mesh from starting.
    plain = PurePath()
    for part in PurePath(path).parts:
        plain = plain.parent if part == ".." else plain / part
    return plain
