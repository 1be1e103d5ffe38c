"""What a repository is told of an import before its first byte moves (pure)."""

from __future__ import annotations

from ...plates.import_outline import ImportOutline, OutlinedFileset
from ...plates.repository import StoredFileset
from .life import ImportLife


def outline_of(life: ImportLife) -> ImportOutline:
    """Whose an import is, and which of its files belong together; none of them before it has settled."""
    return ImportOutline(
        import_id=life.import_id,
        owner=life.owner,
        group=life.order.group,
        root=life.plan.root,
        filesets=tuple(
            OutlinedFileset(
                planner=fileset.planner if fileset.plates else "",
                files=tuple(file.path for file in fileset.files),
                plates=fileset.plates,
                misleads=fileset.misleads,
            )
            for fileset in life.plan.filesets
        ),
    )


def filesets_of(life: ImportLife) -> tuple[StoredFileset, ...]:
    """The filesets of an import of which every file is stored."""
    return tuple(
        StoredFileset(
            planner=fileset.planner,
            files=tuple(life.stored[file.path] for file in fileset.files),
            plates=fileset.plates,
        )
        for fileset in life.plan.filesets
    )
