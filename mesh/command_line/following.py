"""Work that a command waits for: a bar for people, and the last word for everybody."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..config.written_out import shown
from .printing import console

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from ..commands import Commands
    from ..messages.compute import JobStatus
    from ..messages.imports import ImportStatus


MAX_BARS = 8
"""Imports that are followed with a bar for each, wherever they stand."""


class Bar:
    """One progress bar on standard error; where nobody watches, a line whenever the stage changes."""

    def __init__(self, progress: Progress | None, *, quiet: bool) -> None:
        self._progress = progress
        self._quiet = quiet
        self._said = ""
        self._task: TaskID | None = progress.add_task("", total=None) if progress else None

    def show(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Say how far it is."""
        told = shown(f"{stage}: {detail}" if detail else stage)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=told, completed=done, total=total or None)
        elif not self._quiet and told != self._said:
            print(told, file=sys.stderr, flush=True)
        self._said = told

    def beside(self) -> Bar:
        """Another bar below this one."""
        return Bar(self._progress, quiet=self._quiet)

    def visible(self, *, shown: bool) -> None:
        """Show the bar, or keep its place for others."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, visible=shown)


@contextlib.contextmanager
def progress_bar(*, in_bytes: bool, for_machine: bool) -> Iterator[Bar]:
    """A bar that stands while the work goes on."""
    if not sys.stderr.isatty():
        yield Bar(None, quiet=for_machine)
        return
    from rich import progress as parts

    amount: ProgressColumn = parts.DownloadColumn() if in_bytes else parts.MofNCompleteColumn()
    columns: list[ProgressColumn] = [
        parts.SpinnerColumn(),
        parts.TextColumn("{task.description}", markup=False),
        parts.BarColumn(),
        amount,
        parts.TimeElapsedColumn(),
    ]
    if in_bytes:
        columns.insert(4, parts.TransferSpeedColumn())
    with parts.Progress(*columns, console=console(stderr=True), transient=True) as progress:
        yield Bar(progress, quiet=for_machine)


async def follow_import(mesh: Commands, import_id: str, *, for_machine: bool) -> ImportStatus:
    """Show an import's progress until it has ended.

    Raises:
        MeshError: the mesh has been away for too long.
    """
    (status,) = await follow_imports(mesh, (import_id,), for_machine=for_machine)
    return status


async def follow_imports(mesh: Commands, import_ids: Sequence[str], *, for_machine: bool) -> list[ImportStatus]:
    """Show the progress of several imports until all have ended; where they are many, of those at work.

    Raises:
        MeshError: the mesh has been away for too long.
    """
    if not import_ids:
        return []
    many = len(import_ids) > MAX_BARS
    command = f"hcs-mesh imports {import_ids[0]}" if len(import_ids) == 1 else "hcs-mesh imports"
    with progress_bar(in_bytes=True, for_machine=for_machine) as bar, _left_alone(command):
        bars = [bar, *(bar.beside() for _ in import_ids[1:])]
        following = [
            asyncio.ensure_future(_follow(mesh, import_id, own, only_at_work=many))
            for import_id, own in zip(import_ids, bars, strict=True)
        ]
        try:
            return await asyncio.gather(*following)
        except BaseException:
            for one in following:
                one.cancel()
            await asyncio.wait(following)
            raise


async def _follow(mesh: Commands, import_id: str, bar: Bar, *, only_at_work: bool) -> ImportStatus:
    last: ImportStatus | None = None
    if only_at_work:
        bar.visible(shown=False)
    async for status in mesh.follow_import(import_id):
        last = status
        waits = f"waits: {status.reason}" if status.state == "waiting" else ""
        bar.show(f"{import_id} {status.phase}", status.n_bytes_done, status.n_bytes, waits)
        if only_at_work:
            bar.visible(shown=status.state == "running")
    assert last is not None, "an import has a status"
    return last


async def follow_job(mesh: Commands, job: str, *, for_machine: bool) -> JobStatus:
    """Show a job's progress until it has ended.

    Raises:
        MeshError: the mesh has been away for too long.
    """
    last: JobStatus | None = None
    with progress_bar(in_bytes=False, for_machine=for_machine) as bar, _left_alone(f"hcs-mesh jobs {job}"):
        async for status in mesh.follow_job(job):
            last = status
            ended = sum(one.state not in ("queued", "running") for one in status.wells)
            running = ", ".join(one.well for one in status.wells if one.state == "running" and one.well)
            # In a pipe one line at the start is enough: the wells come and go many times a second.
            detail = f"at work on {running}" if running and sys.stderr.isatty() else ""
            bar.show(f"{job} {status.pipeline}", ended, len(status.wells), detail)
    assert last is not None, "a job has a status"
    return last


@contextlib.contextmanager
def _left_alone(command: str) -> Iterator[None]:
    """Whoever presses Ctrl-C leaves the work going on, and learns how to find it again."""
    try:
        yield
    except asyncio.CancelledError:
        print(f"it goes on without you; {command} shows how far it is", file=sys.stderr)
        raise
