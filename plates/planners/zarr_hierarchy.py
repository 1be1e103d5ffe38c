"""A folder as a hierarchy of Zarr groups and arrays (pure)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from ..errors import NotYetComplete
from .folder import Folder, join, split
from .zarr_metadata import ARRAY_FILES, Json, ZarrArray, ome_attributes, parse_array, parse_json

GROUP_FILES = (".zattrs", "zarr.json")
_MARKS = (".zgroup", ".zattrs", "zarr.json")


class Hierarchy(Protocol):
    """What a plate or image is read from: groups and arrays, wherever their metadata are."""

    every_level: bool
    """Whether the smaller sizes of each image are looked at as well."""

    @property
    def name(self) -> str:
        """What it is called itself."""

    def ome(self, group: str) -> Json:
        """What OME-Zarr says of a group, empty where it says nothing.

        Raises:
            MetadataError: the group's metadata is damaged.
        """

    def array(self, group: str, path: str) -> tuple[str, ZarrArray]:
        """Metadata file and shape of the array at a path from a group.

        Raises:
            NotYetComplete: there is none (yet).
            MetadataError: it is damaged.
        """

    def chunks(self, file: str, array: ZarrArray, axes: Sequence[int]) -> Counter[tuple[int, ...]]:
        """How many chunks are there of the array with this metadata file, for each place on some of its axes."""


class ZarrHierarchy:
    """The folder as a hierarchy of Zarr groups and arrays."""

    every_level = True

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._paths = sorted(folder.files)

    def groups(self) -> list[str]:
        """Every folder with metadata of a group, outer ones first."""
        found = {above for above, name in map(split, self._paths) if name in GROUP_FILES}
        return sorted(found, key=lambda group: (group.count("/") if group else -1, group))

    def below(self, group: str) -> Sequence[str]:
        """Every file in a folder and the folders in it."""
        if not group:
            return self._paths
        # '0' follows '/'.
        return self._paths[bisect_left(self._paths, f"{group}/") : bisect_left(self._paths, f"{group}0")]

    def ome(self, group: str) -> Json:
        """What OME-Zarr says of a group, empty where it says nothing.

        Raises:
            MetadataError: the group's metadata is damaged.
        """
        for name in reversed(GROUP_FILES):
            path = at(group, name)
            if path in self._folder.files:
                return ome_attributes(parse_json(self._folder.text(path), source=path), source=path)
        return {}

    def array(self, group: str, path: str) -> tuple[str, ZarrArray]:
        """Metadata file and shape of the array at a path from a group.

        Raises:
            NotYetComplete: there is none (yet).
            MetadataError: it is damaged.
        """
        folder = join(group, path)
        for name in ARRAY_FILES if folder is not None else ():
            file = f"{folder}/{name}"
            if file in self._folder.files:
                return file, parse_array(parse_json(self._folder.text(file), source=file), source=file)
        raise NotYetComplete(
            f"{group or self.name} names the array {path}, and there is none", hint="Has the copy finished?"
        )

    def chunks(self, file: str, array: ZarrArray, axes: Sequence[int]) -> Counter[tuple[int, ...]]:
        """Count the chunks that are there: over the files, since a damaged shape asks for more than memory has."""
        folder = split(file)[0]
        found: Counter[tuple[int, ...]] = Counter()
        for path in self.below(folder):
            position = array.chunk_position(path[len(folder) + 1 :])
            if position is not None:
                found[tuple(position[index] for index in axes)] += 1
        return found

    def apart(self, group: str) -> str:
        """What to leave out so that nothing of a group is found: all of it, or its own metadata where that is all."""
        marks = [path for path in self.below(group) if split(path)[1] in (*_MARKS, *ARRAY_FILES)]
        own = [path for path in marks if split(path)[0] == group and split(path)[1] in GROUP_FILES]
        return own[-1] if all(split(path)[0] == group for path in marks) else group or "."

    def outermost(self, group: str) -> str:
        """The outermost folder that belongs to the same hierarchy."""
        while group:
            above = split(group)[0]
            if not any(at(above, mark) in self._folder.files for mark in _MARKS):
                break
            group = above
        return group

    @property
    def name(self) -> str:
        """The source's own name."""
        return self._folder.name


def at(group: str, name: str) -> str:
    """Path of a file in a group, the source's own folder being the empty one."""
    return f"{group}/{name}" if group else name
