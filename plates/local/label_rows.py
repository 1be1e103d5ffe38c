"""Rows of the catalogue for screens, projects and datasets, and for what is attached to plates."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

from ..labels import COMMENT, DESCRIPTION, KEY_VALUE, LABEL_NAMESPACES, TAG, Labels, Target
from ..repository import Annotation
from .errors import LAST_ID
from .result_rows import insert_annotation

ContainerKind = Literal["screen", "project", "dataset"]


def attach_target(
    connection: sqlite3.Connection,
    import_id: str,
    plate_ids: tuple[int, ...],
    target: Target,
    *,
    author: str,
    now_s: float,
) -> None:
    """Link an import's new plates to their screen, project and dataset, and annotate each of them."""
    containers: list[int] = []
    if target.screen:
        containers.append(_container(connection, "screen", target.screen, author=author, now_s=now_s))
    project = 0
    if target.project:
        project = _container(connection, "project", target.project, author=author, now_s=now_s)
        containers.append(project)
    if target.dataset:
        containers.append(_container(connection, "dataset", target.dataset, parent=project, author=author, now_s=now_s))
    connection.executemany(
        "INSERT INTO plate_containers VALUES (?, ?)", [(plate, one) for plate in plate_ids for one in containers]
    )
    for plate_id in plate_ids:
        for n, (namespace, name, value) in enumerate(_texts(target)):
            wanted = Annotation(
                id=0,
                plate_id=plate_id,
                namespace=namespace,
                name=name,
                value=value,
                author=author,
                created_at_s=now_s,
            )
            insert_annotation(connection, f"{import_id}/{plate_id}/{namespace}/{n}", wanted)


def labels_of_plates(connection: sqlite3.Connection, plate_id: int | None = None) -> dict[int, Labels]:
    """Labels by plate, of one plate or all; a plate that nobody labelled is absent."""
    plates = (0, LAST_ID) if plate_id is None else (plate_id, plate_id)
    said: defaultdict[int, dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    rows = connection.execute(
        "SELECT plate, kind, name FROM plate_containers JOIN containers ON containers.id = container"
        " WHERE plate BETWEEN ? AND ?",
        plates,
    )
    for plate, kind, name in rows:
        said[plate][kind].append(("", name))
    rows = connection.execute(
        "SELECT plate, namespace, name, value FROM annotations WHERE plate BETWEEN ? AND ? AND well = ''"
        " AND namespace IN (?, ?, ?, ?) ORDER BY id",
        (*plates, *LABEL_NAMESPACES),
    )
    for plate, namespace, name, value in rows:
        said[plate][namespace].append((name, value))
    return {plate: _labels(one) for plate, one in said.items()}


def _labels(said: dict[str, list[tuple[str, str]]]) -> Labels:
    def text(kind: str) -> str:
        return "\n".join(value for _, value in said.get(kind, ()))

    return Labels(
        screen=text("screen"),
        project=text("project"),
        dataset=text("dataset"),
        description=text(DESCRIPTION),
        tags=tuple(value for _, value in said.get(TAG, ())),
        key_values=tuple(said.get(KEY_VALUE, ())),
        comment=text(COMMENT),
    )


def _texts(target: Target) -> Iterator[tuple[str, str, str]]:
    if target.description:
        yield DESCRIPTION, "description", target.description
    if target.comment:
        yield COMMENT, "comment", target.comment
    for tag in dict.fromkeys(target.tags):
        yield TAG, "tag", tag
    for key, value in target.key_values:
        yield KEY_VALUE, key, value


def _container(
    connection: sqlite3.Connection, kind: ContainerKind, name: str, *, author: str, now_s: float, parent: int = 0
) -> int:
    """The container of this kind and name, made where there is none."""
    found = connection.execute(
        "SELECT id FROM containers WHERE kind = ? AND name = ? AND parent = ?", (kind, name, parent)
    ).fetchone()
    if found is not None:
        return int(found[0])
    made = connection.execute(
        "INSERT INTO containers (kind, name, parent, owner, created_at_s) VALUES (?, ?, ?, ?, ?)",
        (kind, name, parent, author, now_s),
    ).lastrowid
    assert made is not None
    return made
