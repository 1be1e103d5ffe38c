"""Which processed planes of a well become which image: outputs are channels where they fit each other (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..repository import ResultFile


class ImagePlan(NamedTuple):
    """An image to be made: whole along every axis, so that no plane of it has to be invented."""

    field: int
    channels: tuple[str, ...]
    zs: tuple[int, ...]
    """The source's z of each z of the image; ``ts`` likewise."""
    ts: tuple[int, ...]
    height: int
    width: int
    dtype: str
    planes: Mapping[tuple[int, int, int], ResultFile]
    """The file of each plane, by its c, z and t in the image."""

    @property
    def path(self) -> str:
        """The file of its first plane, which no other image has, and its shape, which an image cannot change."""
        shape = (self.width, self.height, len(self.zs), len(self.channels), len(self.ts))
        return f"{self.planes[0, 0, 0].path}#{'x'.join(map(str, shape))}-{self.dtype}"

    @property
    def sha1(self) -> str:
        """What its planes' files are told by."""
        files = "\n".join(self.planes[at].sha1 for at in sorted(self.planes))
        return hashlib.sha1(files.encode(), usedforsecurity=False).hexdigest()

    @property
    def name(self) -> str:
        """What people call it."""
        return f"s{self.field:03d} {' + '.join(self.channels)}{_spans(self.zs, 'z')}{_spans(self.ts, 't')}"


def images_of(files: Iterable[ResultFile]) -> list[ImagePlan]:
    """The images that a well's processed planes make, in the order of its fields."""
    planes = [file for file in files if file.kind == "plane"]
    return [plan for group in _grouped(planes, lambda file: file.field) for plan in _whole(group, _SPLITS)]


def _by_output(file: ResultFile) -> Any:
    return (file.output, file.c, file.height, file.width, file.dtype)


def _by_plane(file: ResultFile) -> Any:
    return (*_by_output(file), file.z, file.t)


_SPLITS: tuple[Callable[[ResultFile], Any], ...] = (_by_output, _by_plane)
"""How planes that are no whole image together are parted."""


def _whole(files: list[ResultFile], splits: tuple[Callable[[ResultFile], Any], ...]) -> Iterator[ImagePlan]:
    outputs = list(dict.fromkeys((file.output, file.c) for file in sorted(files, key=_by_output)))
    zs, ts = sorted({file.z for file in files}), sorted({file.t for file in files})
    at = {(outputs.index((file.output, file.c)), zs.index(file.z), ts.index(file.t)): file for file in files}
    alike = len({(file.height, file.width, file.dtype) for file in files}) == 1
    # Counted, not listed: with files that share nothing there would be as many as their number's cube.
    if splits and not (alike and len(at) == len(outputs) * len(zs) * len(ts)):
        for group in _grouped(files, splits[0]):
            yield from _whole(group, splits[1:])
        return
    one = files[0]
    yield ImagePlan(one.field, _names(outputs), tuple(zs), tuple(ts), one.height, one.width, one.dtype, at)


def _names(outputs: list[tuple[str, int]]) -> tuple[str, ...]:
    """The outputs' names; with the source's channel where an output is of several."""
    names = [name for name, _ in outputs]
    return tuple(name if names.count(name) == 1 else f"{name} c{c}" for name, c in outputs)


def _grouped(files: list[ResultFile], key: Callable[[ResultFile], Any]) -> list[list[ResultFile]]:
    groups: dict[Any, list[ResultFile]] = {}
    for file in sorted(files, key=key):
        groups.setdefault(key(file), []).append(file)
    return list(groups.values())


def _spans(values: tuple[int, ...], axis: str) -> str:
    return "" if values == tuple(range(len(values))) else f" {axis}{values[0]}-{values[-1]}"
