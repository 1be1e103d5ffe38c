"""A folder that exists as names alone: what a planner sees, without a disk."""

import io
from collections.abc import Container, Mapping
from typing import IO

from hcs_mesh.plates import UnreadableImage
from hcs_mesh.plates.planners import TiffHead, TiffSeries

HEAD = TiffHead(width=8, height=6, dtype="uint16")


class NamedFolder:
    """A folder whose files are names with texts; TIFF files have one header, or none where they are damaged."""

    name = "plate"
    excluded: Container[str] = ()

    def __init__(self, *names: str, texts: Mapping[str, str | bytes] = {}, heads: Mapping[str, TiffHead] = {}) -> None:
        self._texts = {name: text.encode() if isinstance(text, str) else text for name, text in texts.items()}
        self._heads = heads
        self.files = dict.fromkeys(sorted({*names, *texts}), 1)

    def text(self, path: str, encoding: str = "utf-8") -> str:
        return self._texts[path].decode(encoding)

    def stream(self, path: str) -> IO[bytes]:
        return io.BytesIO(self._texts[path])

    def tiff(self, path: str) -> TiffHead:
        if "damaged" in path:
            raise UnreadableImage(f"{path} cannot be read as an image: not a TIFF file")
        return self._heads.get(path, HEAD)

    def series(self, path: str) -> tuple[TiffSeries, ...]:
        return (TiffSeries(axes="YX", shape=(6, 8), dtype="uint16", planes=(0,)),)
