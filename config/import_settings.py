"""The settings of where imports may come from, and of how an import behaves beside an acquisition (pure)."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

from msgspec import Meta

from .errors import ConfigError
from .section import Section

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

    nice: Annotated[int, Meta(ge=0, le=19)] = 10
    """How far copying threads stand back from the processor; 19 is furthest."""
    io_class: Literal["idle", "best-effort", "none"] = "best-effort"
    """The disk's priority: "idle" is served when nobody else asks, "best-effort" last among equals, "none" as all."""
    limit_mib_s: Annotated[float, Meta(ge=0)] = 0.0
    """The most that all imports read in a second, in MiB; 0 means no limit."""
    hours: str = ""
    """When sources are read, as "18:00-07:00" in local time; more than one are separated by commas; empty is always."""
    weekdays: tuple[Weekday, ...] = ()
    """The days on which the hours begin; empty is every day."""
    back_off: bool = True
    """Whether imports make way while somebody else writes to the same disk."""
    least_mib_s: Annotated[float, Meta(gt=0)] = 8.0
    """What is read in a second all the same, in MiB, however busy the disk is, so that an import comes to its end."""
