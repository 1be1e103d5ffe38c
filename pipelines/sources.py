"""What a pipeline reads of a field, and how a field that lacks it is described (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from ..plates.model import Image, Missing, Plate

N_TOLD = 3
"""How many missing files a message names."""

Z = int | Literal["projection"] | None


@dataclass(frozen=True)
class Source:
    """One channel that the pipeline reads: its index on the plate, and which z of it."""

    name: str
    c: int
    z: Z

    def takes(self, image: Image | Missing) -> bool:
        """Say whether this image is among those that are read, or would be if it were there."""
        if image.c != self.c:
            return False
        if self.z == "projection":
            return image.kind == "projection"
        return image.kind == "plane" and (self.z is None or image.z == self.z)


def place(well: str, field: int, t: int) -> str:
    """Name a field as messages do."""
    at = f"well {well}, " if well else ""
    return f"{at}field {field}" + (f", time {t}" if t else "")


def incomplete(sources: Collection[Source], images: Collection[Image], missing: Iterable[Missing], plate: Plate) -> str:
    """Say why a field cannot be analysed; empty when all that is read of it is there.

    A stack that lacks one plane is lost whole: its projection does not compare with those beside it.
    """
    return _lost(sources, images, missing, is_all=not plate.more_missing) or _lacks(sources, images, plate)


def _lost(sources: Collection[Source], images: Iterable[Image], missing: Iterable[Missing], *, is_all: bool) -> str:
    gone = [one for one in missing if any(source.takes(one) for source in sources)]
    if not gone:
        return ""
    n_declared = len(gone) + sum(any(source.takes(image) for source in sources) for image in images)
    files = list(dict.fromkeys(one.file for one in gone if one.file))
    told = f" ({', '.join(files[:N_TOLD])}{', ...' if len(files) > N_TOLD else ''})" if files else ""
    of_all = f" of {n_declared}" if n_declared > 1 and is_all else ""
    noun = "image" if (n_declared if is_all else len(gone)) == 1 else "images"
    at_least = "" if is_all else "at least "
    return f"{at_least}{len(gone)}{of_all} declared {noun} {'is' if len(gone) == 1 else 'are'} missing or damaged{told}"


def _lacks(sources: Iterable[Source], images: Collection[Image], plate: Plate) -> str:
    words: list[str] = []
    for source in sources:
        if any(source.takes(image) for image in images):
            continue
        name = f' "{plate.channels[source.c]}"' if source.c < len(plate.channels) else ""
        z = "" if source.z is None else f" at z {source.z}" if isinstance(source.z, int) else " as a projection"
        words.append(f"channel {source.c}{name}{z}")
    return f"no image of {' and '.join(words)}" if words else ""


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
