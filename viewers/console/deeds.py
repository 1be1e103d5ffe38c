"""What the console can do to a mesh: each deed with its question and what follows from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ...messages.control import ActorRow
from .mesh import ConsoleMesh


class Deed(NamedTuple):
    """Something to be confirmed before it is done."""

    question: str
    consequence: str
    perform: Callable[[], Awaitable[object]]


def restart(mesh: ConsoleMesh, actor: str) -> Deed:
    """Restart one name of the tree."""
    return Deed(
        f"Restart {actor}?",
        "It is stopped in order and started afresh; what it was at is taken up again.",
        lambda: mesh.restart(actor),
    )


def pause_or_resume(mesh: ConsoleMesh, row: ActorRow) -> Deed:
    """Pause an actor that runs, resume one that is paused."""
    if row.state == "paused":
        return Deed(f"Resume {row.name}?", "It reads its mailbox again.", lambda: mesh.resume(row.name))
    return Deed(
        f"Pause {row.name}?",
        "Its mailbox is not read until it is resumed; who asks it waits, and is told when the time is over.",
        lambda: mesh.pause(row.name),
    )


def retry(mesh: ConsoleMesh, kind: str, name: str) -> Deed:
    """Take an import up again, or run what is not done of a job once more."""
    if kind == "imports":
        return Deed(f"Retry {name}?", "It goes on where it stopped.", lambda: mesh.retry_import(name))
    return Deed(f"Retry {name}?", "Its wells that are not done run as a new job.", lambda: mesh.retry_job(name))


def cancel(mesh: ConsoleMesh, kind: str, name: str) -> Deed:
    """Stop an import or a job."""
    if kind == "imports":
        return Deed(f"Cancel {name}?", "It stops for good unless it is retried.", lambda: mesh.cancel_import(name))
    return Deed(f"Cancel {name}?", "Wells that are done stay done.", lambda: mesh.cancel_job(name))
