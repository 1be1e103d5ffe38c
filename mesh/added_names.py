"""The names of actors that a program adds to a mesh: each must name one thing, and be one that can be asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from .config import MeshError
from .supervisors import DuplicateChild, TreeRow

_NAME = re.compile(r"\w[\w.-]*")


class WrongActorName(MeshError, ValueError):
    """An actor cannot have such a name."""


def check_form(name: str) -> None:
    """See to it that commands can be given the name, and that it is no name of another host's.

    Raises:
        WrongActorName: it is empty, or has other characters.
    """
    if not _NAME.fullmatch(name):
        raise WrongActorName(
            f"{name!r} is no name for an actor",
            hint="letters, digits, '_', '-' and '.', such as cell-counter; what comes behind an @ is a host",
        )


def check_taken(added: Collection[str], tree: Iterable[TreeRow]) -> None:
    """See to it that nothing else in the tree has a name that was added: both would share one mailbox.

    Raises:
        DuplicateChild: something has it.
    """
    by_name: dict[str, list[TreeRow]] = {}
    for row in tree:
        by_name.setdefault(row.name, []).append(row)
    for name in added:
        rows = by_name.get(name, [])
        if len(rows) > 1:
            # Parents come before children, and what is added stands last below the root.
            own = rows[0]
            under = f"{own.kind} under {own.parent}" if own.parent else f"{own.kind} at the root"
            raise DuplicateChild(
                f"an actor cannot be added as {name!r}: it is the name of the mesh's own {under}",
                hint="add it under another name",
            )
