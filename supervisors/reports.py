"""What supervision tells the outside: one report per occurrence, one row per child."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct, structs

from ..config import get_logger
from .child import Kind

Occurrence = Literal[
    "started",
    "start_failed",
    "ended",
    "failed",
    "restarting",
    "stopped",
    "killed",
    "abandoned",
    "gave_up",
    "quarantined",
]
State = Literal["starting", "running", "stopping", "backoff", "stopped", "quarantined", "failed"]

_TROUBLE = frozenset({"start_failed", "failed", "killed", "abandoned", "gave_up", "quarantined"})


class SupervisionReport(Struct, frozen=True, kw_only=True):
    """One start, end, restart or giving up."""

    occurrence: Occurrence
    supervisor: str
    child: str
    kind: Kind
    pid: int | None = None
    reason: str = ""
    error: str = ""
    traceback: str = ""
    blame: str = ""
    restarts: int = 0
    delay_s: float = 0.0
    at_unix_s: float = 0.0


class TreeRow(Struct, frozen=True, kw_only=True):
    """One line of ``hcs-mesh ps``; the root's parent is empty."""

    name: str
    parent: str
    kind: Kind
    pid: int | None
    state: State
    restarts: int = 0
    mailbox: int = 0
    last_error: str = ""


Reporter = Callable[[SupervisionReport], None]

_log = get_logger("hcs_mesh.supervisors")


def tell(report: SupervisionReport, reporter: Reporter | None) -> None:
    """Log a report and hand it to the reporter, whose own failure is logged and goes no further."""
    fields = {name: value for name, value in structs.asdict(report).items() if value not in ("", None, 0, 0.0)}
    say = _log.warning if report.occurrence in _TROUBLE else _log.info
    say("supervision", **fields)
    if reporter is None:
        return
    try:
        reporter(report)
    except Exception:  # noqa: BLE001 - docs/decisions/0008: a listener must not take supervision down
        _log.exception("a reporter of supervision failed", child=report.child)
