"""What a pipeline reads of a field, and how a field that lacks it is described (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..plates.model import Image, Plate

Z = int | Literal["projection"] | None


@dataclass(frozen=True)
class Source:
    """One channel that the pipeline reads: its index on the plate, and which z of it."""

    name: str
    c: int
    z: Z

    def takes(self, image: Image) -> bool:
        """Say whether this image is among those that are read."""
        if image.c != self.c:
            return False
        if self.z == "projection":
            return image.kind == "projection"
        return image.kind == "plane" and (self.z is None or image.z == self.z)


def place(well: str, field: int, t: int) -> str:
    """Name a field as messages do."""
    at = f"well {well}, " if well else ""
    return f"{at}field {field}" + (f", time {t}" if t else "")


def lacks(sources: Iterable[Source], plate: Plate) -> str:
    """Say which channels are missing."""
    words: list[str] = []
    for source in sources:
        name = f' "{plate.channels[source.c]}"' if source.c < len(plate.channels) else ""
        z = "" if source.z is None else f" at z {source.z}" if isinstance(source.z, int) else " as a projection"
        words.append(f"channel {source.c}{name}{z}")
    return f"no image of {' and '.join(words)}"


def why_none(source: Source, images: Iterable[Image]) -> str:
    """Say why not one of these images is read by the source, and what can be read instead."""
    here = [image for image in images if image.c == source.c]
    planes = sorted({image.z for image in here if image.kind == "plane"})
    if not here:
        return f"channel {source.c} has no image in the chosen wells"
    if source.z == "projection":
        return f"the microscope made no projection of channel {source.c}: add max_projection instead"
    if planes:
        return f"channel {source.c} has z {planes[0]} to {planes[-1]}, not {source.z}"
    return f'channel {source.c} has only the microscope\'s projection: choose it with channel(..., z="projection")'
