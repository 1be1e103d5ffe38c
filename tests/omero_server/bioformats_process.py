"""Bio-Formats in a process of its own: python bioformats_process.py JAR, a request and an answer per line."""

from __future__ import annotations

import json
import os
import sys
from collections import OrderedDict
from typing import Any

READERS_KEPT = 4
AXES = "XYZCT"


class Machine:
    """The Java machine, and the readers that were opened last."""

    def __init__(self, jar: str) -> None:
        import jpype

        # As little as reading takes: other processes of a test want their part. Signals are the server's.
        options = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xrs", "-Djava.awt.headless=true")
        jpype.startJVM(*options, classpath=[jar], convertStrings=True)
        self.failure: type[Exception] = jpype.JException
        self._loci = jpype.JPackage("loci")
        self._ome = jpype.JPackage("ome")
        self._loci.common.DebugTools.setRootLevel("ERROR")
        self._readers: OrderedDict[str, tuple[Any, Any]] = OrderedDict()

    def opened(self, path: str) -> tuple[Any, Any]:
        """The reader of a file, and what it has written down of it."""
        if path not in self._readers:
            services = self._loci.common.services.ServiceFactory()
            described = services.getInstance(self._loci.formats.services.OMEXMLService).createOMEXMLMetadata()
            reader = self._loci.formats.ImageReader()
            reader.setFlattenedResolutions(False)
            reader.setMetadataStore(described)
            try:
                reader.setId(path)
            except self.failure:
                reader.close()
                raise
            self._readers[path] = reader, described
            while len(self._readers) > READERS_KEPT:
                self._readers.popitem(last=False)[1][0].close()
        self._readers.move_to_end(path)
        return self._readers[path]

    def read(self, path: str) -> dict[str, Any]:
        """Everything of a fileset that the server keeps."""
        reader, described = self.opened(path)
        name = str(reader.getReader().getClass().getSimpleName())
        return {
            "format": name.removesuffix("Reader"),
            "images": [self._image(reader, described, n) for n in range(reader.getSeriesCount())],
            "plates": [_plate(described, n) for n in range(described.getPlateCount())],
        }

    def _image(self, reader: Any, described: Any, n: int) -> dict[str, Any]:
        reader.setSeries(n)
        unit = self._ome.units.UNITS
        sizes = {axis: getattr(described, f"getPixelsPhysicalSize{axis}")(n) for axis in "XYZ"}
        return {
            "name": described.getImageName(n),
            "sizes": {axis: int(getattr(reader, f"getSize{axis}")()) for axis in AXES},
            "type": str(self._loci.formats.FormatTools.getPixelTypeString(reader.getPixelType())),
            "order": str(reader.getDimensionOrder()),
            "n_samples": int(reader.getRGBChannelCount()),
            "channels": [self._channel(described, n, c) for c in range(described.getChannelCount(n))],
            "pixel_size": {axis: _length(unit.MICROMETER, size) for axis, size in sizes.items() if size is not None},
        }

    def _channel(self, described: Any, n: int, c: int) -> dict[str, Any]:
        wave, color = described.getChannelEmissionWavelength(n, c), described.getChannelColor(n, c)
        return {
            "name": described.getChannelName(n, c),
            "emission_nm": None if wave is None else _in(self._ome.units.UNITS.NANOMETER, wave),
            "color": None if color is None else int(color.getValue()),
        }

    def plane(self, path: str, series: int, z: int, c: int, t: int) -> bytes:
        """One plane, big-endian."""
        reader, _ = self.opened(path)
        reader.setSeries(series)
        pixels = bytes(reader.openBytes(reader.getIndex(z, c, t)))
        width = int(self._loci.formats.FormatTools.getBytesPerPixel(reader.getPixelType()))
        if width == 1 or not reader.isLittleEndian():
            return pixels
        swapped = bytearray(len(pixels))
        for n in range(width):
            swapped[n::width] = pixels[width - 1 - n :: width]
        return bytes(swapped)


def _in(unit: Any, length: Any) -> float:
    return float(length.value(unit).doubleValue())


def _length(unit: Any, length: Any) -> tuple[float, str]:
    """A length in micrometers; one in pixels, or in those of a reference frame, is none and stays what it is."""
    if length.value(unit) is not None:
        return _in(unit, length), "MICROMETER"
    return float(length.value().doubleValue()), str(length.unit().getSymbol()).replace(" ", "").upper()


def _number(value: Any) -> int | None:
    return None if value is None else int(value.getValue())


def _plate(described: Any, p: int) -> dict[str, Any]:
    runs = range(described.getPlateAcquisitionCount(p))
    of_run = {
        str(described.getPlateAcquisitionWellSampleRef(p, run, n)): run
        for run in runs
        for n in range(described.getWellSampleRefCount(p, run))
    }
    return {
        "name": described.getPlateName(p),
        "n_rows": _number(described.getPlateRows(p)),
        "n_columns": _number(described.getPlateColumns(p)),
        "acquisitions": [described.getPlateAcquisitionName(p, run) for run in runs],
        "wells": [_well(described, p, w, of_run) for w in range(described.getWellCount(p))],
    }


def _well(described: Any, p: int, w: int, of_run: dict[str, int]) -> dict[str, Any]:
    samples = []
    for n in range(described.getWellSampleCount(p, w)):
        image = described.getWellSampleImageRef(p, w, n)
        if image is not None:
            samples.append([int(image.removeprefix("Image:")), of_run.get(str(described.getWellSampleID(p, w, n)))])
    row, column = _number(described.getWellRow(p, w)), _number(described.getWellColumn(p, w))
    return {"row": row, "column": column, "samples": samples}


def main() -> None:
    """Answer until nobody asks any more: an answer is a line, and as many bytes as it says."""
    asked = sys.stdin.buffer
    # Java writes what it likes to the standard output.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    machine = Machine(sys.argv[1])
    for line in asked:
        request = json.loads(line)
        pixels = b""
        try:
            if request.pop("do") == "read":
                answer = machine.read(request["path"])
            else:
                pixels, answer = machine.plane(**request), {}
        except machine.failure as wrong:
            answer = {"error": str(wrong).strip() or type(wrong).__name__}
        answers.write(json.dumps(answer | {"n_bytes": len(pixels)}).encode() + b"\n" + pixels)
        answers.flush()


if __name__ == "__main__":
    main()
