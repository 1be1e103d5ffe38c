"""What an import in place waits for: that nobody deletes any more what it is about to have in place."""

from __future__ import annotations

from .life import ImportLife
from .means import ImportMeans
from .still_linked import may_be_of

LOOK_S = 60.0
"""How long one wait for another import's next record is at most."""


async def wait_for_deletions(means: ImportMeans, life: ImportLife) -> str:
    """Return once no other import may be deleting what this one has, or is about to have, in place; name the last.

    A deletion looks for imports in place when it begins (see ``refuse_linked``), and takes long. It has not seen those
    that were accepted since, nor those that it can tell by their files alone and that had not settled by then. Asked
    once an import's files are written down, this finds every deletion that has not seen them.
    """
    last = ""
    while (other := await _deleting(means, life)) is not None:
        last = other.import_id
        while other.may_be_deleting:
            means.waits(life, f"{last} is deleting its source, and with it what this import would have in place")
            await means.ledger.changes.wait(last, LOOK_S)
    return last


async def _deleting(means: ImportMeans, life: ImportLife) -> ImportLife | None:
    if life.order.mode != "in-place":
        return None
    for other in list(means.book.lives.values()):
        if other.may_be_deleting and await may_be_of(means, life, other):
            return other
    return None
