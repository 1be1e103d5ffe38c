"""The trees of joined hosts within the tree of the mesh, every name with its host's behind it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from ...messages.console import ActorDetail, Hop, Incident
from ...messages.control import ActorRow
from .joined_nodes import RemoteNode, name_elsewhere

JOINING = "joining"
"""The supervisor under which joined hosts are shown."""


def rows_with(own: tuple[ActorRow, ...], nodes: Iterable[RemoteNode]) -> tuple[ActorRow, ...]:
    """The mesh's own tree with those of the hosts that have joined; of one that is away only its root is left.

    The mesh's own side of an executor elsewhere gives way to the process itself, while that can be seen.
    """
    elsewhere: list[ActorRow] = []
    away: set[str] = set()
    for node in nodes:
        if node.link is None:
            away.add(node.name)
        elsewhere += _rows_of(node)
    if not elsewhere and not away:
        return own
    seen = {row.name for row in elsewhere}
    told = []
    for row in own:
        _, _, at = row.name.rpartition("@")
        if row.name not in seen:
            told.append(replace(row, state="away") if at in away else row)
    last = max((number for number, row in enumerate(told) if JOINING in (row.name, row.parent)), default=len(told) - 1)
    return (*told[: last + 1], *elsewhere, *told[last + 1 :])


def row_elsewhere(row: ActorRow, node: str) -> ActorRow:
    """A line of a host's tree as the mesh shows it."""
    parent = name_elsewhere(row.parent, node) if row.parent else JOINING
    return replace(row, name=name_elsewhere(row.name, node), parent=parent)


def detail_elsewhere(detail: ActorDetail, node: str) -> ActorDetail:
    """All that a host knows of one name, as the mesh shows it."""

    def renamed(one: Incident) -> Incident:
        return replace(one, child=name_elsewhere(one.child, node), supervisor=name_elsewhere(one.supervisor, node))

    return replace(
        detail, row=row_elsewhere(detail.row, node), incidents=tuple(renamed(one) for one in detail.incidents)
    )


def hop_elsewhere(hop: Hop, node: str) -> Hop:
    """A step of a trace on another host; when it was is told by that host's clock."""
    return replace(hop, node=name_elsewhere(hop.node, node), actor=name_elsewhere(hop.actor, node))


def _rows_of(node: RemoteNode) -> tuple[ActorRow, ...]:
    if node.link is not None:
        return tuple(row_elsewhere(row, node.name) for row in node.rows)
    roots = (row for row in node.rows if not row.parent)
    return tuple(
        ActorRow(
            name=name_elsewhere(root.name, node.name),
            parent=JOINING,
            kind="supervisor",
            pid=None,
            state="away",
            last_error=node.away_because,
        )
        for root in roots
    )
