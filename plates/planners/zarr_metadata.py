"""Zarr and OME-Zarr metadata: what an array's and an image's JSON says, in either format (pure).

Zarr 2 keeps it in .zarray and .zattrs (OME-Zarr 0.4), Zarr 3 in zarr.json (OME-Zarr 0.5). Source:
https://zarr-specs.readthedocs.io and https://ngff.openmicroscopy.org.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import MetadataError, NotYetComplete

ARRAY_FILES = (".zarray", "zarr.json")
"""What the metadata of an array is called; an image of a plate names its array by this file."""
MAX_PLANES = 1_000_000
"""More planes than any image has: such numbers come from damaged metadata."""

Json = Mapping[str, Any]

# Codecs that decompress, and nothing else: some of those that exist unpickle, which runs what a stranger wrote.
_CODECS_2 = {"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd", "delta", "shuffle", "bitround", "packbits"}
_CODECS_3 = {"bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed"}
_TYPE_2 = re.compile(r"[<>|=]?([uif])([1248])|[<>|=]?b1")
_TYPES = {"bool", *(f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64))} - {"float8"}
_MICROMETRES = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "meter": 1e6}


class ZarrArray(NamedTuple):
    """Shape and storage of one array; ``refusal`` says why it is not read, and is empty where it is.

    ``chunks`` is the shape that one file holds, ``decoded`` the part of it that is decoded at once.
    """

    zarr_format: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    decoded: tuple[int, ...]
    dtype: str
    separator: str
    prefix: str
    fill_declared: bool
    refusal: str

    def chunk_file(self, position: Sequence[int]) -> str:
        """Path of a chunk below the array's folder."""
        return self.separator.join((*([self.prefix] if self.prefix else []), *map(str, position)))

    def chunk_position(self, path: str) -> tuple[int, ...] | None:
        """The chunk that a file below the array's folder is; None where it is none."""
        parts = path.split(self.separator)
        if self.prefix and parts.pop(0) != self.prefix:
            return None
        if len(parts) != len(self.shape) or not "".join(parts).isdecimal() or "" in parts:
            return None
        position = tuple(map(int, parts))
        # One by one: there is a chunk for each of a plate's hundred thousand files.
        for index, chunk, size in zip(position, self.chunks, self.shape, strict=True):
            if index * chunk >= size:
                return None
        return position


class Multiscale(NamedTuple):
    """One image in several sizes; ``axes`` holds one letter of t, c, z, y, x for each dimension of its arrays."""

    name: str
    axes: str
    paths: tuple[str, ...]
    pixel_size_um: float | None

    def sizes(self, shape: Sequence[int]) -> dict[str, int]:
        """Size of each axis, 1 where there is none."""
        return dict.fromkeys("tczyx", 1) | dict(zip(self.axes, shape, strict=True))

    def page(self, shape: Sequence[int], t: int, c: int, z: int) -> int:
        """Number of a plane: planes count over t, then c, then z, z the fastest, however the array is ordered."""
        sizes = self.sizes(shape)
        return (t * sizes["c"] + c) * sizes["z"] + z

    def place(self, shape: Sequence[int], page: int) -> dict[str, int]:
        """Where the plane of this number lies on t, c and z.

        Raises:
            IndexError: the image has no such plane.
        """
        sizes = self.sizes(shape)
        n_planes = sizes["t"] * sizes["c"] * sizes["z"]
        if not 0 <= page < n_planes:
            raise IndexError(f"it holds {n_planes} planes, and plane {page} was asked for")
        rest, z = divmod(page, sizes["z"])
        t, c = divmod(rest, sizes["c"])
        return {"t": t, "c": c, "z": z}


def parse_json(text: str, *, source: str) -> Json:
    """A JSON object.

    Raises:
        NotYetComplete: the text is the beginning of one.
        MetadataError: it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        # A file that is being copied may hold zeros where its end will be.
        end = text.rstrip("\0 \r\n")
        cut = isinstance(error, json.JSONDecodeError) and (
            text.endswith("\0") or error.pos >= len(end) or error.msg.startswith("Unterminated")
        )
        if cut:
            raise NotYetComplete(f"{source} ends before its end: {error}", hint="Copy the file again.") from error
        raise MetadataError(f"{source} is not JSON: {error}", hint="Copy the file again.") from error
    if not isinstance(found, dict):
        raise MetadataError(f"{source} holds no JSON object", hint="Copy the file again.")
    return found


def ome_attributes(metadata: Json, *, source: str) -> Json:
    """What OME-Zarr says in a group's metadata file; empty where it says nothing.

    Raises:
        MetadataError: it is no object where one must be.
    """
    if not source.endswith("zarr.json"):
        return metadata
    attributes = metadata.get("attributes") or {}
    return _object(_object(attributes, "attributes", source).get("ome") or {}, "ome", source)


def parse_multiscales(ome: Json, *, source: str) -> tuple[Multiscale, ...]:
    """The images of a group; usually one.

    Raises:
        MetadataError: there is none, or it is not described as the format wants.
    """
    found = ome["multiscales"]
    if not isinstance(found, list) or not found:
        raise MetadataError(f"{source}: multiscales is empty", hint="An OME-Zarr image has at least one.")
    return tuple(_multiscale(_object(one, "multiscales", source), source) for one in found)


def parse_array(metadata: Json, *, source: str) -> ZarrArray:
    """Shape, chunks and type of an array.

    Raises:
        MetadataError: it is no array's metadata.
    """
    try:
        array = _array_3(metadata) if source.endswith("zarr.json") else _array_2(metadata)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise MetadataError(f"{source} describes no array: {error!r}", hint="Copy the file again.") from error
    same = len(array.chunks) == len(array.shape) == len(array.decoded)
    if not same or min((*array.chunks, *array.decoded, *array.shape, 1)) < 1:
        raise MetadataError(f"{source}: chunks {array.chunks} do not fit shape {array.shape}")
    return array


def _array_2(metadata: Json) -> ZarrArray:
    if metadata["zarr_format"] != 2:
        raise ValueError(f"zarr_format {metadata['zarr_format']}")
    dtype = metadata["dtype"]
    match = _TYPE_2.fullmatch(dtype) if isinstance(dtype, str) else None
    kinds = {"u": "uint", "i": "int", "f": "float"}
    name = "" if match is None else f"{kinds[match[1]]}{8 * int(match[2])}" if match[1] else "bool"
    codecs = [one for one in (metadata.get("compressor"), *(metadata.get("filters") or ())) if one is not None]
    chunks = tuple(map(int, metadata["chunks"]))
    return ZarrArray(
        2,
        tuple(map(int, metadata["shape"])),
        chunks,
        chunks,
        name,
        "/" if metadata.get("dimension_separator") == "/" else ".",
        "",
        metadata.get("fill_value") is not None,
        _refusal(name, dtype, [str(one["id"]) for one in codecs], _CODECS_2),
    )


def _array_3(metadata: Json) -> ZarrArray:
    if metadata["zarr_format"] != 3 or metadata["node_type"] != "array":
        raise ValueError(f"zarr_format {metadata['zarr_format']}, {metadata.get('node_type')}")
    dtype = metadata["data_type"]
    grid = metadata["chunk_grid"]
    if grid["name"] != "regular":
        raise ValueError(f"chunk grid {grid['name']}")
    keys = metadata["chunk_key_encoding"]
    default = keys["name"] == "default"
    separator = (keys.get("configuration") or {}).get("separator") or ("/" if default else ".")
    if separator not in (".", "/"):
        raise ValueError(f"chunk separator {separator!r}")
    name = dtype if dtype in _TYPES else ""
    chunks = tuple(map(int, grid["configuration"]["chunk_shape"]))
    codecs: list[Json] = [{"name": one} if isinstance(one, str) else one for one in metadata["codecs"]]
    shards = [one["configuration"]["chunk_shape"] for one in codecs if one["name"] == "sharding_indexed"]
    return ZarrArray(
        3,
        tuple(map(int, metadata["shape"])),
        chunks,
        tuple(map(int, shards[0])) if shards else chunks,
        name,
        separator,
        "c" if default else "",
        # Version 3 wants a fill value of every array.
        "fill_value" in metadata,
        _refusal(name, dtype, list(_codec_names(codecs)), _CODECS_3),
    )


def _codec_names(codecs: Sequence[Any]) -> Iterator[str]:
    for codec in codecs:
        one: Json = {"name": codec} if isinstance(codec, str) else codec
        yield str(one["name"])
        configuration = one.get("configuration") or {}
        yield from _codec_names([*configuration.get("codecs", ()), *configuration.get("index_codecs", ())])


def _refusal(name: str, dtype: Any, codecs: Sequence[str], known: set[str]) -> str:
    if not name:
        return f"its type {dtype!r} is none of numbers"
    strange = [codec for codec in codecs if codec not in known]
    return f"its codec {strange[0]!r} is not one that is read here" if strange else ""


def _multiscale(one: Json, source: str) -> Multiscale:
    axes = _axes(one.get("axes"), source)
    datasets = one.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        raise MetadataError(f"{source}: multiscales without datasets", hint="Level 0 is the image itself.")
    named = [_object(dataset, "datasets", source).get("path") for dataset in datasets]
    paths = [path.strip("/") for path in named if isinstance(path, str) and path.strip("/")]
    if len(paths) < len(datasets):
        raise MetadataError(f"{source}: a dataset without a path", hint="Each level names its array.")
    name = one.get("name")
    return Multiscale(
        name if isinstance(name, str) else "",
        "".join(letter for letter, _ in axes),
        tuple(paths),
        _pixel_size_um(axes, [one, datasets[0]]),
    )


def _axes(declared: Any, source: str) -> list[tuple[str, str]]:
    """Letter and unit of every axis; 0.1 and 0.2 had five without saying so, 0.3 their letters alone."""
    if declared is None:
        return [(letter, "") for letter in "tczyx"]
    if not isinstance(declared, list) or not 2 <= len(declared) <= 5:
        raise MetadataError(f"{source}: axes must be a list of two to five")
    axes = [{"name": axis} if isinstance(axis, str) else _object(axis, "axes", source) for axis in declared]
    n_space = sum(axis.get("type") == "space" for axis in axes)
    letters: list[str] = []
    spaces = iter("zyx"[-n_space:] if 2 <= n_space <= 3 else "")
    for axis in axes:
        name, kind = str(axis.get("name", "")), axis.get("type")
        in_turn = next(spaces, "") if kind == "space" else ""
        if kind == "time" or (kind is None and name == "t"):
            letters.append("t")
        elif name in ("x", "y", "z") and kind in ("space", None):
            letters.append(name)
        elif kind == "space":
            letters.append(in_turn)
        else:
            # An axis of a kind of its own takes the channels' place, as the format orders it.
            letters.append("c")
    if len({*letters}) != len(letters) or not {"y", "x"} <= {*letters} or "" in letters:
        names = ", ".join(str(axis.get("name")) for axis in axes)
        raise MetadataError(f"{source}: the axes {names} are not x and y with at most one each of t, c and z")
    units = [str(axis.get("unit") or "").lower() for axis in axes]
    return list(zip(letters, units, strict=True))


def _pixel_size_um(axes: Sequence[tuple[str, str]], described: Sequence[Json]) -> float | None:
    index = [letter for letter, _ in axes].index("x")
    unit = _MICROMETRES.get(axes[index][1])
    factor = 1.0
    n_scales = 0
    for one in described:
        transformations = one.get("coordinateTransformations")
        for step in transformations if isinstance(transformations, list) else ():
            scale = step.get("scale") if isinstance(step, dict) else None
            if isinstance(scale, list) and len(scale) == len(axes) and isinstance(scale[index], int | float):
                factor *= scale[index]
                n_scales += 1
    size = factor * unit if unit and n_scales else 0.0
    return size if math.isfinite(size) and size > 0 else None


def _object(value: Any, what: str, source: str) -> Json:
    if not isinstance(value, dict):
        raise MetadataError(f"{source}: {what} is not an object")
    return value
