"""An OME-Zarr plate that is served file by file, with nobody to list its files (pure)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..errors import MetadataError, NotYetComplete
from .folder import join
from .ome_zarr import fields_of, wells_of
from .zarr_fields import FieldTable
from .zarr_hierarchy import at
from .zarr_metadata import MAX_PLANES, Json, ZarrArray, ome_attributes, parse_array, parse_json

STRUCTURE_BYTES = 256 << 20
"""Of all metadata files of one plate together."""
FILES_AT_ONCE = 64
MAX_FILES = 250_000
"""Ten times those of a plate of 1536 wells with nine fields each."""


class ServedHierarchy:
    """A served hierarchy of groups and arrays, asked for each of its metadata files once."""

    every_level = False

    def __init__(self, name: str, fetch: Callable[[Sequence[str]], Sequence[bytes | None]]) -> None:
        """Find out which format it is; ``fetch`` gets several files of it, and None for those that are not served."""
        self.name = name
        self._fetch = fetch
        self._found: dict[str, bytes | None] = {}
        self._n_bytes = 0
        self._n_planes = 0
        self._expect(["zarr.json", ".zattrs"])
        is_3 = self._found["zarr.json"] is not None
        self._group_file, self._array_file = ("zarr.json", "zarr.json") if is_3 else (".zattrs", ".zarray")

    @property
    def own_metadata(self) -> bytes | None:
        """What the outermost group says of itself."""
        return self._found[self._group_file]

    @property
    def is_there(self) -> bool:
        """Whether anything is served."""
        return self.own_metadata is not None

    def expect_plate(self) -> None:
        """Ask for all that a plate is made of, several files at a time; what is wrong is told by who reads them."""
        wells: list[str] = []
        # Whoever reads the plate says so, here and below.
        with suppress(MetadataError):
            named = wells_of(self.ome("").get("plate"), self.name, FieldTable())
            wells = [join("", path) or "" for path in named.values()]
        self._expect([at(well, self._group_file) for well in wells])
        fields: list[str] = []
        for well in wells:
            # One well of many.
            with suppress(MetadataError):
                fields += fields_of(self, well)
            if len(fields) > MAX_FILES:
                # Also where they are one and the same: each would be a field of its own.
                raise MetadataError(f"{self.name} lists over {MAX_FILES:,} fields, which no plate has")
        self._expect([at(field, self._group_file) for field in fields])
        arrays: list[str] = []
        for field in fields:
            # One field of many, whose metadata may be anything.
            with suppress(MetadataError, LookupError, TypeError, AttributeError):
                folder = join(field, str(self.ome(field)["multiscales"][0]["datasets"][0]["path"]))
                arrays += [f"{folder}/{self._array_file}"] if folder else []
        self._expect(arrays)

    def ome(self, group: str) -> Json:
        """What OME-Zarr says of a group, empty where it says nothing.

        Raises:
            MetadataError: the group's metadata is damaged.
        """
        path = at(group, self._group_file)
        found = self._json(path)
        return {} if found is None else ome_attributes(found, source=path)

    def array(self, group: str, path: str) -> tuple[str, ZarrArray]:
        """Metadata file and shape of the array at a path from a group.

        Raises:
            NotYetComplete: there is none.
            MetadataError: it is damaged.
        """
        folder = join(group, path)
        file = f"{folder}/{self._array_file}"
        found = self._json(file) if folder is not None else None
        if found is None:
            raise NotYetComplete(f"{group or self.name} names the array {path}, and none is served")
        return file, parse_array(found, source=file)

    def chunks(self, file: str, array: ZarrArray, axes: Sequence[int]) -> Counter[tuple[int, ...]]:
        """As if all were there: to ask for each would take a question for each.

        Raises:
            MetadataError: with it the plate would have more planes than any has.
        """
        self._n_planes += math.prod(array.shape[index] for index in axes)
        if self._n_planes > MAX_PLANES:
            raise MetadataError(f"the plate claims over {MAX_PLANES:,} planes, and {file} is not looked at any more")
        return _Everywhere()

    def _json(self, path: str) -> Json | None:
        self._expect([path])
        found = self._found[path]
        try:
            return None if found is None else parse_json(found.decode(), source=path)
        except UnicodeDecodeError as error:
            raise MetadataError(f"{path} is no text: {error}") from error

    def _expect(self, paths: Sequence[str]) -> None:
        unknown = [path for path in dict.fromkeys(paths) if path not in self._found]
        if len(self._found) + len(unknown) > MAX_FILES:
            raise MetadataError(f"{self.name} names over {MAX_FILES:,} metadata files, which no plate has")
        for first in range(0, len(unknown), FILES_AT_ONCE):
            some = unknown[first : first + FILES_AT_ONCE]
            found = self._fetch(some)
            self._n_bytes += sum(len(one) for one in found if one is not None)
            if self._n_bytes > STRUCTURE_BYTES:
                raise MetadataError(f"the metadata of {self.name} are over {STRUCTURE_BYTES >> 20} MiB")
            self._found.update(zip(some, found, strict=True))


class _Everywhere(Counter[tuple[int, ...]]):
    """Chunks at every place."""

    def __missing__(self, key: tuple[int, ...]) -> int:
        return 1 << 62
