"""MetaSeries: the XML that MetaXpress writes into the description of its TIFF files (pure)."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from ..errors import UnreadableImage
from .folder import Folder

_PROP = re.compile(r'<prop id="([^"]+)" type="[^"]*" value="([^"]*)"')


class MetaSeries(NamedTuple):
    """What one description says; empty and None where it says nothing."""

    channel: str = ""
    pixel_size_um: float | None = None


def read_metaseries(description: str) -> MetaSeries:
    """The illumination setting's name and the pixel size of a description; other descriptions say nothing."""
    if "<MetaData>" not in description:
        return MetaSeries()
    # Attributes are matched, not parsed: descriptions cut at 64 KiB by other software are not well formed.
    props = {name: html.unescape(value) for name, value in _PROP.findall(description)}
    size: float | None = None
    if props.get("spatial-calibration-state") == "on" and props.get("spatial-calibration-units") == "um":
        try:
            size = float(props.get("spatial-calibration-x", "")) or None
        except ValueError:
            size = None
    return MetaSeries(props.get("_IllumSetting_") or props.get("image-name") or "", size)


def describe(folder: Folder, file: str | None) -> MetaSeries:
    """What the description of a file says; nothing where the file cannot be read."""
    if file is None:
        return MetaSeries()
    try:
        return read_metaseries(folder.tiff(file).description)
    except UnreadableImage:
        return MetaSeries()


def channel_names(names: dict[int, str]) -> tuple[str, ...]:
    """Names of the channels by wavelength number; w1, w2 where there is none, both where two are the same."""
    values = list(names.values())
    return tuple(
        name if name and values.count(name) == 1 else f"w{number} {name}".strip()
        for number, name in sorted(names.items())
    )
