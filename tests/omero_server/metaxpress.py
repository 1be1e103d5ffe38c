"""Reads a MetaXpress plate: the .HTD file tells the wells, sites and wavelengths, a TIFF each holds a plane."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import tifffile

from omero_server.ome_tiff import is_companion
from omero_server.plane_files import Place
from omero_server.read_fileset import ReadChannel, ReadFileset, ReadImage, ReadPlate, ReadWell, Unreadable

_NAME = re.compile(
    r"_(?P<row>[A-Z]{1,2})(?P<column>\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>\d))?[0-9A-F-]*\.tiff?$", re.IGNORECASE
)


def read_metaxpress(files: list[Path]) -> ReadFileset | None:
    """The plate, or None where there is no .HTD file, or a companion comes first that is not taken for an image of it.

    Raises:
        Unreadable: it has z planes or time points, counts none of what there must be one of, or holds a file whose name
            tells no well.
    """
    described = [path for path in files if path.suffix.lower() == ".htd"]
    if not described or (is_companion(files[0]) and not _is_taken_for_an_image(files[0], described)):
        return None
    said = _settings(described[0])
    for key in ("TimePoints", "ZSteps", "NWavelengths"):
        count = said.get(key, ["1"])[0]
        # Bio-Formats 7.3.1 makes room for as many, and looks at the first.
        if not count.isdecimal() or int(count) < 1:
            raise Unreadable(f"{described[0].name} has {key} {count}")
        if int(count) > 1 and key != "NWavelengths":
            raise Unreadable(f"{described[0].name} has {key}")
    waves = [said.get(f"WaveName{number + 1}", [""])[0] for number in range(int(said.get("NWavelengths", ["1"])[0]))]
    found: dict[tuple[int, int], dict[int, dict[int, int]]] = {}
    for number, path in enumerate(files):
        if path.suffix.lower() not in {".tif", ".tiff"} or "_thumb" in path.name.lower():
            continue
        well, site, wave = _where(path.name)
        found.setdefault(well, {}).setdefault(site, {})[wave] = number
    images: list[ReadImage] = []
    wells = []
    for well in sorted(found):
        samples: list[tuple[int, int | None]] = []
        for site in sorted(found[well]):
            samples.append((len(images), 0))
            images.append(_image(files, found[well][site], well, site, waves))
        wells.append(ReadWell(*well, samples))
    rows, columns = int(said["YWells"][0]), int(said["XWells"][0])
    plate = ReadPlate(said.get("Description", [""])[0] or described[0].stem, wells, rows, columns, ["Run 1"])
    return ReadFileset("MetaXpress", images, [plate])


def _is_taken_for_an_image(companion: Path, described: list[Path]) -> bool:
    """Whether its name begins like an .HTD's and goes on with an underscore: Bio-Formats 7.3.1 asks for no more."""
    return any(companion.name.lower().startswith(f"{htd.stem.lower()}_") for htd in described)


def _settings(path: Path) -> dict[str, list[str]]:
    rows = csv.reader(path.read_text(encoding="latin-1").splitlines(), skipinitialspace=True)
    return {row[0]: [one.strip() for one in row[1:]] for row in rows if len(row) > 1}


def _where(name: str) -> tuple[tuple[int, int], int, int]:
    found = _NAME.search(name)
    if found is None:
        raise Unreadable(f"{name} tells no well")
    row = 0
    for letter in found["row"].upper():
        row = row * 26 + ord(letter) - ord("A") + 1
    return (row - 1, int(found["column"]) - 1), int(found["site"] or 1) - 1, int(found["wave"] or 1) - 1


def _image(files: list[Path], by_wave: dict[int, int], well: tuple[int, int], site: int, waves: list[str]) -> ReadImage:
    first = files[next(iter(by_wave.values()))]
    with tifffile.TiffFile(first) as file:
        height, width = file.pages[0].shape[:2]
        kind = file.pages[0].dtype
    places = [Place(by_wave[wave], 0) if wave in by_wave else None for wave in range(len(waves))]
    return ReadImage(
        name=f"Well {chr(ord('A') + well[0])}-{well[1] + 1:02d}; Site #{site + 1}",
        sizes={"X": width, "Y": height, "Z": 1, "C": len(waves), "T": 1},
        type=str(kind),
        order="XYCZT",
        channels=[ReadChannel(name or None) for name in waves],
        places=places,
    )
