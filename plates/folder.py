"""A source folder on disk, as planners see it."""

from __future__ import annotations

import math
import os
import stat
from collections import OrderedDict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import tifffile

from .errors import NotForReader, SourceNotFound, SourceUnreadable, UnreadableImage, unreadable
from .exclusion import Exclusion, how_to_leave_out
from .judged_folders import JudgedFolders
from .opening import open_folder_for
from .planners.folder import TiffHead, TiffSeries
from .planners.plan import LeftOut
from .reach import EVERYTHING, Reach
from .source_names import HELD_FOLDER, IN_TRANSIT, check_source_name
from .tiff_failures import COPY_AGAIN, FOR_THAT_PERSON, told_as_unreadable
from .tiff_file import tiff_file

# Headers are asked for a few times in a row; OME-XML makes single ones megabytes large.
_HEADS_KEPT = 16
_MAX_TEXT_BYTES = 64 << 20

LINK_OUT = "a link that leads out of the folder"
LINK_TO_FOLDER = "a link to a folder"
EXCLUDED = "excluded"
TOO_DEEP = "a folder deeper than was asked for"
UNDER_WAY = f"named {IN_TRANSIT}, as files that are not complete yet: renamed it would be stored"


class DiskFolder:
    """Walks a folder once and reads headers when asked; it follows no links out of the folder."""

    def __init__(
        self,
        root: Path,
        *,
        only: Collection[str] | None = None,
        depth: int = 0,
        exclude: Iterable[str] = (),
        reach: Reach = EVERYTHING,
    ) -> None:
        """Find the files below ``root``, or those that lie in it and that ``only`` names, or whose folder it names.

        Of the folders ``depth`` levels are looked into, ``root`` the first; 0 means all. What a pattern of
        ``exclude`` matches is left out, and a folder that does is not entered. Nothing is opened beyond ``reach``.

        Raises:
            PatternError: a pattern of ``exclude`` is none.
            SourceNotFound: there is no such folder.
            SourceUnreadable: it, or a folder in it, cannot be listed.
            BadSourceName: a name in it is not text, or lies too deep.
        """
        self.root = root.absolute()
        self.name = self.root.resolve().name or str(self.root)
        self.reach = reach
        self._judged = JudgedFolders(reach)
        self.left_out: list[LeftOut] = []
        self._heads: OrderedDict[str, TiffHead | UnreadableImage] = OrderedDict()
        self._exclusion = Exclusion(exclude)
        found: dict[str, int] = {}
        self._walk("", found, only, levels=1 if only is not None else depth or math.inf)
        self._files = dict(sorted(found.items()))

    @property
    def files(self) -> Mapping[str, int]:
        """The size in bytes of every regular file, in the order of their paths."""
        return self._files

    @property
    def excluded(self) -> Container[str]:
        """What the patterns of ``exclude`` match."""
        return self._exclusion

    def text(self, path: str, encoding: str = "utf-8") -> str:
        """The text of a small metadata file.

        Raises:
            SourceUnreadable: the file cannot be read, is over 64 MiB, or is not in this encoding.
        """
        with self.stream(path) as stream:
            try:
                content = stream.read(_MAX_TEXT_BYTES + 1)
            except OSError as error:
                raise _unreadable(path, error) from error
        if len(content) > _MAX_TEXT_BYTES:
            raise SourceUnreadable(f"{path} is over {_MAX_TEXT_BYTES >> 20} MiB, which no metadata text is")
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            raise SourceUnreadable(f"{path} is not {encoding} text: byte {error.start} does not fit") from error

    def stream(self, path: str) -> IO[bytes]:
        """The bytes of a file; the caller closes it.

        Raises:
            SourceUnreadable: the file cannot be opened.
        """
        try:
            return self._opened(path)
        except OSError as error:
            raise _unreadable(path, error) from error

    def tiff(self, path: str) -> TiffHead:
        """The header of a TIFF file.

        Raises:
            UnreadableImage: the file is not a TIFF, or a damaged one.
        """
        if path not in self._heads:
            try:
                self._heads[path] = self._read_head(path)
            except UnreadableImage as error:
                self._heads[path] = error
            if len(self._heads) > _HEADS_KEPT:
                self._heads.popitem(last=False)
        head = self._heads[path]
        if isinstance(head, UnreadableImage):
            raise head
        return head

    def series(self, path: str) -> tuple[TiffSeries, ...]:
        """The arrays of a TIFF file, those left out that have no pixels, or, after the first, none with a number.

        Raises:
            UnreadableImage: the file is not a TIFF, or a damaged one, or the planes of its first array lie elsewhere.
        """
        with told_as_unreadable(path), self._opened(path) as handle, tiff_file(handle, path) as tif:
            found = [one for one in tif.series if "Y" in one.axes and "X" in one.axes and one.size]
            if not found:
                raise UnreadableImage(f"{path} cannot be read as an image: it holds no pixels", hint=COPY_AGAIN)
            numbered = [(one, _planes(tif, one)) for one in found]
            if numbered[0][1] is None:
                raise UnreadableImage(
                    f"{path} cannot be read as an image: not every plane of its first series is a page of this file",
                    hint="Save it again with a page for each plane.",
                )
            return tuple(_series(one, planes) for one, planes in numbered if planes is not None)

    def _read_head(self, path: str) -> TiffHead:
        # A handle, and not the path, which tifffile would resolve first: a tenth of what a header costs.
        with told_as_unreadable(path), self._opened(path) as handle, tiff_file(handle, path) as tif:
            page = tif.pages.first
            if page.dtype is None or not page.imagewidth or not page.imagelength:
                raise UnreadableImage(
                    f"{path} cannot be read as an image: it holds no pixels of a known type", hint=COPY_AGAIN
                )
            due = max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
            if due > tif.filehandle.size:
                raise UnreadableImage(
                    f"{path} is cut short: {due} bytes are due and {tif.filehandle.size} are there", hint=COPY_AGAIN
                )
            n_pages = len(tif.pages)
            is_stack = n_pages == 1 and (tif.is_imagej or tif.is_stk)
            if is_stack:
                # These keep many planes behind one directory.
                series = tif.series[0]
                n_pages = max(1, series.size // max(1, math.prod(page.shape)))
            return TiffHead(
                width=page.imagewidth,
                height=page.imagelength,
                dtype=np.dtype(page.dtype).name,
                n_pages=n_pages,
                n_samples=max(1, page.samplesperpixel),
                is_stack=is_stack,
                description=page.description,
                ome_xml=page.description if page.is_ome else "",
            )

    def _opened(self, path: str) -> IO[bytes]:
        """A regular file, open for reading, if it is within reach.

        Raises:
            OSError: it cannot be opened, or may not be.
        """
        descriptor, _ = self._judged.open_and_look(f"{self.root}/{path}")
        return open(descriptor, "rb")  # noqa: PTH123 - it is no path, and the caller closes it

    def _walk(self, folder: str, found: dict[str, int], only: Collection[str] | None, *, levels: float) -> None:
        with self._entries(folder) as entries:
            self._take(folder, entries, found, only, levels=levels)

    def _take(
        self,
        folder: str,
        entries: Iterable[os.DirEntry[str]],
        found: dict[str, int],
        only: Collection[str] | None,
        *,
        levels: float,
    ) -> None:
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if only is not None and path not in only:
                continue
            check_source_name(path)
            if path in self._exclusion:
                self.left_out.append(LeftOut(path, EXCLUDED))
                continue
            try:
                # A link could lead to what its owner may not see and this process may: files of the folder alone
                # may be meant by it.
                if entry.is_symlink() and not self._stays_inside(path):
                    self.left_out.append(LeftOut(path, LINK_OUT))
                elif entry.is_dir(follow_symlinks=False):
                    if only is not None:
                        # What belongs to a file and lies in a folder of its own.
                        self._walk(path, found, None, levels=math.inf)
                    elif levels > 1:
                        self._walk(path, found, only, levels=levels - 1)
                    else:
                        self.left_out.append(LeftOut(path, TOO_DEEP))
                elif entry.is_dir():
                    self.left_out.append(LeftOut(path, LINK_TO_FOLDER))
                elif not stat.S_ISREG((status := entry.stat()).st_mode) or path.endswith(IN_TRANSIT):
                    is_file = stat.S_ISREG(status.st_mode)
                    self.left_out.append(LeftOut(path, UNDER_WAY if is_file else "not a regular file"))
                else:
                    found[path] = status.st_size
            except (SourceNotFound, SourceUnreadable):
                # Told already of the folder or file below that is to blame.
                raise
            except OSError as error:
                raise _unreadable(path, error, is_walked=True) from error

    @contextmanager
    def _entries(self, folder: str) -> Iterator[list[os.DirEntry[str]]]:
        """What lies in a folder, which stays open while the block lasts: no other one is looked into."""
        opened: int | None = None
        try:
            try:
                opened = open_folder_for(self.reach, self.root / folder)
                there = os.scandir(self.root / folder if opened is None else opened)
                entries = sorted(there, key=lambda entry: entry.name)
            except OSError as error:
                raise _unreadable(folder or str(self.root), error, is_walked=bool(folder)) from error
            yield [entry for entry in entries if entry.name != HELD_FOLDER]
        finally:
            if opened is not None:
                os.close(opened)

    def _stays_inside(self, path: str) -> bool:
        try:
            return (self.root / path).resolve(strict=True).is_relative_to(self.root.resolve())
        except (OSError, RuntimeError):
            return False


def _series(series: tifffile.TiffPageSeries, planes: tuple[int, ...]) -> TiffSeries:
    return TiffSeries(axes=series.axes, shape=tuple(series.shape), dtype=np.dtype(series.dtype).name, planes=planes)


def _planes(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tuple[int, ...] | None:
    """The number of every plane inside the file; None where some have none, and another's would be read for them."""
    pages = list(series.pages)
    height, width = (series.shape[series.axes.index(axis)] for axis in "YX")
    n_planes = series.size // (height * width)
    n_samples = max(1, series.keyframe.samplesperpixel)
    own = [page.index for page in pages if page is not None and page.parent is tif and not page.is_subifd]
    if len(own) == len(pages) and len(own) * n_samples >= n_planes:
        return tuple(index * n_samples + sample for index in own for sample in range(n_samples))[:n_planes]
    # All behind the only page, as ImageJ and MetaMorph keep them.
    return tuple(range(n_planes)) if len(own) == len(pages) == len(tif.pages) == 1 else None


def _unreadable(path: str, error: OSError, *, is_walked: bool = False) -> SourceUnreadable | SourceNotFound:
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return SourceNotFound(f"there is nothing at {path}", hint="Check the path; it is one of the mesh's own host.")
    hint = FOR_THAT_PERSON if isinstance(error, NotForReader) else "Let the account that runs the mesh read it."
    if is_walked:
        hint = f"{hint} {how_to_leave_out(path)}"
    return unreadable(f"{path} cannot be read: {reason}", error, hint=hint)
