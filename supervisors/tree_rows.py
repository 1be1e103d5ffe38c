"""How a supervisor's children look to people: what ps and the console show of the tree."""

from __future__ import annotations

from .reports import State, TreeRow
from .slot import Slot
from .strategy import Phase

STATES: dict[Phase, State] = {
    Phase.WAITING: "starting",
    Phase.STARTING: "starting",
    Phase.RUNNING: "running",
    Phase.STOPPING: "stopping",
    Phase.BACKOFF: "backoff",
    Phase.FINISHED: "stopped",
    Phase.STOPPED: "stopped",
    Phase.QUARANTINED: "quarantined",
    Phase.FAILED: "failed",
}


def row(parent: str, slot: Slot, state: State) -> TreeRow:
    """One child's row."""
    statistics = slot.running.statistics() if slot.running is not None else {}
    return TreeRow(
        name=slot.spec.name,
        parent=parent,
        kind=slot.spec.kind,
        pid=slot.running.pid if slot.running is not None else None,
        state=state,
        restarts=slot.n_restarts,
        mailbox=int(statistics.get("mailbox", 0)),
        last_error=str(statistics.get("last_error", "")) or slot.last_error,
    )
