"""What a planner sees of a source: names, sizes, texts and TIFF headers, wherever they lie (pure)."""

from __future__ import annotations

import posixpath
from collections.abc import Container, Mapping
from typing import IO, Protocol

import msgspec


class TiffHead(msgspec.Struct, frozen=True, kw_only=True):
    """What the first page of a TIFF file says, and how many pages follow each other in the file."""

    width: int
    height: int
    dtype: str
    n_pages: int = 1
    n_samples: int = 1
    is_stack: bool = False
    """Whether all of its pages lie behind the first one's directory, as ImageJ and MetaMorph keep them."""
    description: str = ""
    ome_xml: str = ""


class TiffSeries(msgspec.Struct, frozen=True, kw_only=True):
    """One array of a TIFF file; ``planes`` numbers its (Y, X) planes inside the file, in array order."""

    axes: str
    shape: tuple[int, ...]
    dtype: str
    planes: tuple[int, ...]


class Folder(Protocol):
    """A source of files; paths are relative, with '/' between folders."""

    @property
    def name(self) -> str:
        """The folder's own name."""

    @property
    def files(self) -> Mapping[str, int]:
        """The size in bytes of every file below, in the order of their paths."""

    @property
    def excluded(self) -> Container[str]:
        """The paths that somebody wants left out, whether anything lies there or not."""

    def text(self, path: str, encoding: str = "utf-8") -> str:
        """The text of a small metadata file.

        Raises:
            SourceUnreadable: the file cannot be read, or is not in this encoding.
        """

    def stream(self, path: str) -> IO[bytes]:
        """The bytes of a metadata file of any size; the caller closes it.

        Raises:
            SourceUnreadable: the file cannot be opened.
        """

    def tiff(self, path: str) -> TiffHead:
        """The header of a TIFF file.

        Raises:
            UnreadableImage: the file is not a TIFF, or a damaged one.
        """

    def series(self, path: str) -> tuple[TiffSeries, ...]:
        """The arrays of a TIFF file.

        Raises:
            UnreadableImage: the file is not a TIFF, or a damaged one.
        """


class PartOfFolder:
    """The same folder with some of its files alone; ``last_read`` is the file that was asked for last."""

    def __init__(self, whole: Folder, kept: Container[str]) -> None:
        self._files = {path: n_bytes for path, n_bytes in whole.files.items() if path in kept}
        self.name = whole.name
        self.excluded = whole.excluded
        self.last_read = ""
        self._whole = whole
        self.series = whole.series

    @property
    def files(self) -> Mapping[str, int]:
        """The size in bytes of every file that was kept."""
        return self._files

    def text(self, path: str, encoding: str = "utf-8") -> str:
        """The text of a small metadata file, as :meth:`Folder.text`."""
        self.last_read = path
        return self._whole.text(path, encoding)

    def stream(self, path: str) -> IO[bytes]:
        """The bytes of a metadata file, as :meth:`Folder.stream`."""
        self.last_read = path
        return self._whole.stream(path)

    def tiff(self, path: str) -> TiffHead:
        """The header of a TIFF file, as :meth:`Folder.tiff`."""
        self.last_read = path
        return self._whole.tiff(path)


def is_settled(folder: Folder, path: str | None) -> bool:
    """Whether nothing more will come of a path that metadata names: it is there, or it was left out on purpose."""
    return path is not None and (path in folder.files or path in folder.excluded)


def join(folder: str, path: str) -> str | None:
    """Path of a file that metadata in ``folder`` names, or None where it leads out of the source."""
    joined = posixpath.normpath(posixpath.join(folder, path.replace("\\", "/")))
    return None if joined.startswith(("../", "/")) or joined in ("..", ".") else joined


def split(path: str) -> tuple[str, str]:
    """Folder, empty at the top, and file name of a path."""
    folder, _, name = path.rpartition("/")
    return folder, name


def stem(path: str) -> str:
    """File name without its suffix; .ome.tif and .companion.ome are one suffix each."""
    name = split(path)[1]
    lower = name.lower()
    for suffix in (".ome.tif", ".ome.tiff", ".ome.tf2", ".ome.tf8", ".ome.btf", ".companion.ome"):
        if lower.endswith(suffix):
            return name[: -len(suffix)]
    return name.rpartition(".")[0] or name


def is_ome_xml(path: str) -> bool:
    """Whether the name is that of OME-XML on its own, which is no companion of a set of TIFF files."""
    lower = path.lower()
    return lower.endswith((".ome.xml", ".ome")) and not lower.endswith(".companion.ome")


def is_tiff(path: str) -> bool:
    """Whether the name is that of a TIFF file."""
    return path.lower().endswith((".tif", ".tiff", ".tf2", ".tf8", ".btf", ".stk"))
