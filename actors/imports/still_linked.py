"""What other imports have in place: their plates are read from there, and it is deleted for nobody."""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ...plates.devices import mount_above
from ...plates.holding.deletion import SourceStays
from ...plates.repository import SourceFile
from ..errors import SourceSilent
from .life import ImportLife
from .means import ImportMeans

Orders = list[tuple[str, str]]
"""Imports, each with the path that it has in place."""

Mark = tuple[int, int]
"""A device and an inode."""


SAME_TIME_NS = 2 * 10**9
"""How far two file systems may tell the time of one file apart; FAT's is the coarsest."""


class _Led(NamedTuple):
    """Where the path of an import leads that it has in place; ``why`` it is not known, else."""

    import_id: str
    path: str
    mark: Mark | None = None
    why: str = ""


async def refuse_linked(means: ImportMeans, life: ImportLife) -> None:
    """Promise that no other import has in place what is to be deleted of this one's source.

    Raises:
        SourceStays: one has, or is about to; or nobody can say.
        SourceSilent: the source's disk does not answer.
        MeshError: the repository cannot be asked.
    """
    if not life.order.agent:
        # The paths of a workstation are no paths of this host.
        await _refuse_paths(means, life)
    # Seen through another mount, or by an agent beside a share, a file has another path and another device.
    other = means.book.has_in_place(life.files) or await means.threads.run(
        lambda: means.repository.has_in_place(life.files)
    )
    if other:
        raise _stays(other)


async def _refuse_paths(means: ImportMeans, life: ImportLife) -> None:
    """Promise that no other import has in place what lies at this host's paths of a source, whatever it calls them."""
    ended = means.repository.kind != "local"
    other = means.book.in_place_at(life.order.path, ended=ended)
    if other:
        raise _stays(other)
    files = [file.path for file in life.files]
    root, marks = await means.looks.run(life.plan.root, lambda: _marks(life.plan.root, life.files))
    for led in await _led_to(means, list(means.book.in_place(ended=ended))):
        if led.why:
            _refuse_unknown(means.book.lives.get(led.import_id), led, life, root)
        elif led.mark in marks or _has_any(led.path, root, files):
            raise _stays(led.import_id)
    links = await means.threads.run(lambda: means.repository.links_into(root))
    linked = next((f"{root}/{file.path}" for file in life.files if f"{root}/{file.path}" in links), "")
    if linked:
        raise _stays(links[linked])


def _refuse_unknown(other: ImportLife | None, led: _Led, life: ImportLife, root: str) -> None:
    """Promise that what an import had recorded of its source is none of this one's, where its path cannot be looked at.

    Raises:
        SourceStays: it may be, or nothing is recorded.
    """
    if other is not None and other.files:
        real = _has_any(other.plan.root, root, [file.path for file in life.files])
        if not real and not may_share(other.files, life.files):
            return
    hint = f"make {led.path} readable for the mesh again"
    if other is None or other.may_have_plates:
        hint += "; or delete the source by hand, once nobody needs the plates of that import any more"
    else:
        hint += f", or give that import up: hcs-mesh imports cancel {led.import_id}"
    raise SourceStays(
        f"whether {led.import_id} has it in place is not known, since its source cannot be looked at: {led.why}; {hint}"
    )


async def may_be_of(means: ImportMeans, linked: ImportLife, life: ImportLife) -> bool:
    """Whether something of a source is what another import is to have in place, for all that can be told now.

    What ``refuse_linked`` asks of all imports in place, of one of them; what no disk says follows from the records.
    """
    marks = {file.mark for file in life.files if file.mark}
    if any(file.mark in marks for file in linked.files):
        return True
    if life.order.agent:
        return False
    try:
        root, there = await means.looks.run(life.plan.root, lambda: _marks(life.plan.root, life.files))
    except (SourceSilent, SourceStays):
        return may_share(linked.files, life.files)
    (led,) = await _led_to(means, [(linked.import_id, linked.order.path)])
    if led.why:
        return may_share(linked.files, life.files)
    return led.mark in there or _has_any(led.path, root, [file.path for file in life.files])


def may_share(files: Sequence[SourceFile], others: Sequence[SourceFile]) -> bool:
    """Whether a file may be one of others, seen through whatever mount: of its size, and by its inode or its time.

    A file that was written to since it was recorded is no more what an import had in place.
    """
    inodes = {(file.inode, file.size) for file in others if file.inode}
    times: dict[int, list[int]] = {}
    for file in others:
        times.setdefault(file.size, []).append(file.mtime_ns)
    for by_size in times.values():
        by_size.sort()
    return any((file.inode, file.size) in inodes or _is_near(file.mtime_ns, times.get(file.size, ())) for file in files)


def _is_near(mtime_ns: int, times_ns: Sequence[int]) -> bool:
    """Whether a time is about one of others, in their order; one that is not known may be any."""
    if not times_ns or not mtime_ns or not times_ns[0]:
        return bool(times_ns)
    at = bisect_left(times_ns, mtime_ns - SAME_TIME_NS)
    return at < len(times_ns) and times_ns[at] <= mtime_ns + SAME_TIME_NS


async def _led_to(means: ImportMeans, orders: Orders) -> list[_Led]:
    """Where the paths of orders lead, as far as their disks say: people know a folder by several."""
    led: list[_Led] = []
    for there in await asyncio.to_thread(_by_mount, orders):
        try:
            led += await means.looks.run(there[0][1], partial(_real, there))
        except SourceSilent as silent:
            led += [_Led(import_id, path, why=f"{path}: {silent}") for import_id, path in there]
    return led


def _by_mount(orders: Orders) -> list[Orders]:
    """Apart by their mounts, found without asking any disk that may not answer."""
    found: dict[str, Orders] = {}
    for import_id, path in orders:
        found.setdefault(mount_above(path), []).append((import_id, path))
    return list(found.values())


def _real(orders: Orders) -> list[_Led]:
    """Where orders lead; what is not there has no mark."""
    led: list[_Led] = []
    for import_id, path in orders:
        try:
            led.append(_Led(import_id, os.path.realpath(path), _seen(path)))
        except OSError as error:
            led.append(_Led(import_id, path, why=f"{path}: {error.strerror} (errno {error.errno})"))
        except ValueError as error:
            # As a name that an earlier version took, which is none.
            led.append(_Led(import_id, path, why=f"{path!r}: {error}"))
    return led


def _marks(root: str, files: Sequence[SourceFile]) -> tuple[str, frozenset[Mark]]:
    """Where a root leads, and the marks of it, of all above it, and of the files below it with their folders.

    Raises:
        SourceStays: its disk does not say.
    """
    real = os.path.realpath(root)
    inside: set[str] = set()
    for file in files:
        folder = file.path.rpartition("/")[0]
        while folder and folder not in inside:
            inside.add(folder)
            folder = folder.rpartition("/")[0]
    folders = [real, *map(str, Path(real).parents), *(f"{real}/{folder}" for folder in inside)]
    marks = {mark for folder in folders if (mark := _mark(folder)) is not None}
    here = _mark(real)
    if here is not None:
        marks |= {(here[0], file.inode) for file in files if file.inode}
    return real, frozenset(marks)


def _mark(path: str) -> Mark | None:
    """As ``_seen``.

    Raises:
        SourceStays: its disk does not say.
    """
    try:
        return _seen(path)
    except (OSError, ValueError) as error:
        raise SourceStays(
            f"whether another import has it in place is not known: {path}: {error}", hint="look at that disk"
        ) from error


def _seen(path: str) -> Mark | None:
    """What tells a file or folder from all others of this host, however it is called; None of what is not there."""
    try:
        seen = os.stat(path)  # noqa: PTH116 - one of many
    except (FileNotFoundError, NotADirectoryError):
        return None
    return seen.st_dev, seen.st_ino


def _has_any(path: str, root: str, files: Sequence[str]) -> bool:
    """Whether a path is one of the files below a root, or above any."""
    above = f"{root.rstrip('/')}/"
    if above.startswith(f"{path.rstrip('/')}/"):
        return True
    inside = path.removeprefix(above)
    return inside != path and any(file == inside or file.startswith(f"{inside}/") for file in files)


def _stays(import_id: str) -> SourceStays:
    return SourceStays(
        f"{import_id} has it in place, and its plates are read from there",
        hint="it can be deleted by hand once nobody needs those plates any more",
    )
