"""What a reader finds in a fileset: images with their planes, and the plates that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from omero_server.plane_files import Place


class Unreadable(Exception):
    """No reader of the stand-in makes images of these files."""


class ReadLength(NamedTuple):
    value: float
    unit: str
    """As OMERO's model names it."""


@dataclass(frozen=True)
class ReadChannel:
    name: str | None = None
    emission_nm: float | None = None
    color: int | None = None
    """RGBA as OME-XML has it."""


@dataclass
class ReadImage:
    """One series: its sizes by axis, and where each plane lies, z fastest, then c, then t."""

    name: str
    sizes: dict[str, int]
    type: str
    order: str
    channels: list[ReadChannel]
    places: list[Place | None]
    pixel_size: dict[str, ReadLength] = field(default_factory=dict)
    series: int | None = None
    """Its number in the fileset where Bio-Formats decodes it, who alone knows where its planes lie."""


@dataclass
class ReadWell:
    row: int
    column: int
    samples: list[tuple[int, int | None]]
    """Images by number, each with the number of its acquisition."""


@dataclass
class ReadPlate:
    name: str
    wells: list[ReadWell]
    n_rows: int
    n_columns: int
    acquisitions: list[str] = field(default_factory=list)


@dataclass
class ReadFileset:
    """Everything that one import makes."""

    format: str
    images: list[ReadImage]
    plates: list[ReadPlate] = field(default_factory=list)
