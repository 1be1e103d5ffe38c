"""Reads with Bio-Formats what the stand-in does not know itself: the reader that an OMERO.server has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omero_server.plane_files import DTYPES, NoPlane, Shape
from omero_server.read_fileset import ReadChannel, ReadFileset, ReadImage, ReadLength, ReadPlate, ReadWell, Unreadable

PROCESS = Path(__file__).with_name("bioformats_process.py")


class BioFormats:
    """A Java machine with Bio-Formats, started when it is first asked for something; it ends with this process."""

    def __init__(self, jar: Path | None) -> None:
        self._jar = jar
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, files: list[Path]) -> ReadFileset:
        """What Bio-Formats makes of a fileset of which it is given the first file, as on the server.

        Raises:
            Unreadable: it makes nothing of it, or something that the stand-in has not learnt, or it is not there.
        """
        try:
            said, _ = self._ask({"do": "read", "path": str(files[0])})
        except NoPlane as wrong:
            raise Unreadable(f"Bio-Formats: {files[0].name}: {wrong}") from None
        return ReadFileset(
            format=said["format"],
            images=[_image(one, n, files[0].name) for n, one in enumerate(said["images"])],
            plates=[_plate(one) for one in said["plates"]],
        )

    def plane(self, path: Path, series: int, z: int, c: int, t: int) -> bytes:
        """One plane, in OMERO's byte order.

        Raises:
            NoPlane: Bio-Formats does not give it, or is not there.
        """
        request = {"do": "plane", "path": str(path), "series": series, "z": z, "c": c, "t": t}
        return self._ask(request)[1]

    def close(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            if process is not None:
                process.communicate()

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            process = self._process = self._process or self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except BrokenPipeError:
                line = b""
            if not line:
                self._process = None
                process.communicate()
                raise NoPlane(f"its process ended with {process.returncode}")
            answer: dict[str, Any] = json.loads(line)
            pixels = process.stdout.read(answer["n_bytes"])
        if "error" in answer:
            raise NoPlane(answer["error"])
        return answer, pixels

    def _start(self) -> subprocess.Popen[bytes]:
        if self._jar is None or not self._jar.is_file():
            raise NoPlane(f"no jar at {self._jar}" if self._jar else "setup.json names no bioformats_jar")
        if shutil.which("java") is None:
            raise NoPlane("there is no Java here")
        # Its standard input ends when this process does, however that comes about.
        return subprocess.Popen(
            [sys.executable, str(PROCESS), str(self._jar)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )


class DecodedPlanes:
    """Planes of an imported image that Bio-Formats decodes."""

    def __init__(self, bioformats: BioFormats, path: Path, series: int, shape: Shape) -> None:
        self._bioformats = bioformats
        self._path = path
        self._series = series
        self._shape = shape

    def plane(self, z: int, c: int, t: int) -> NDArray[Any]:
        pixels = self._bioformats.plane(self._path, self._series, z, c, t)
        if len(pixels) != self._shape.plane_bytes:
            raise NoPlane(f"{self._path.name} gives {len(pixels)} bytes of {self._shape.plane_bytes}")
        return np.frombuffer(pixels, self._shape.dtype).reshape(self._shape.y, self._shape.x)

    def close(self) -> None:
        """Nothing: the process keeps its readers."""


def _image(said: dict[str, Any], number: int, first: str) -> ReadImage:
    if said["n_samples"] != 1:
        raise Unreadable("several samples per pixel")
    if said["type"] not in DTYPES:
        raise Unreadable(f"{first} holds {said['type']}")
    return ReadImage(
        name=said["name"] or first,
        sizes=said["sizes"],
        type=said["type"],
        order=said["order"],
        channels=[ReadChannel(**one) for one in said["channels"]],
        places=[],
        pixel_size={axis: ReadLength(*size) for axis, size in said["pixel_size"].items()},
        series=number,
    )


def _plate(said: dict[str, Any]) -> ReadPlate:
    wells = [
        ReadWell(one["row"], one["column"], [(image, run) for image, run in one["samples"]]) for one in said["wells"]
    ]
    return ReadPlate(
        name=said["name"] or "Plate",
        wells=wells,
        n_rows=said["n_rows"] or 1 + max((well.row for well in wells), default=-1),
        n_columns=said["n_columns"] or 1 + max((well.column for well in wells), default=-1),
        acquisitions=[name or f"Run {n + 1}" for n, name in enumerate(said["acquisitions"])],
    )
