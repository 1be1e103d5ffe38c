"""The conversation about watched folders: what was seen in them, and what became of it."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from ..transport.messages import Request, Role

WatchState = Literal["there", "missing", "not looked at"]


class WaitingUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A folder or fileset that was seen and is not handed over yet; ``reason`` says why."""

    unit: str
    reason: str


class LateUnit(msgspec.Struct, frozen=True, kw_only=True):
    """Files that came or grew after their import was done; ``files`` names the first of them."""

    unit: str
    import_id: str
    n_files: int
    files: tuple[str, ...] = ()


class WatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with one watched folder.

    ``reason`` says why nothing can be concluded when the state is not "there". ``n_units`` counts what was ever seen
    there and not taken away since, ``n_handed_over`` how much of it the imports have.
    """

    folder: str
    name: str = ""
    state: WatchState = "not looked at"
    reason: str = ""
    looked_at_unix_s: float = 0.0
    n_units: int = 0
    n_handed_over: int = 0
    n_late_files: int = 0
    waiting: tuple[WaitingUnit, ...] = ()
    late: tuple[LateUnit, ...] = ()


class ListWatches(Request[tuple[WatchStatus, ...]], frozen=True, kw_only=True, tag="watches.list"):
    """Ask for every watched folder, in the order of the settings."""

    audience: ClassVar[Role | None] = "user"
    looks_only: ClassVar[bool] = True
