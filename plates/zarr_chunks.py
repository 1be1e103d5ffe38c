"""What the zarr library is given of one array: the metadata that were checked, and the chunks they speak of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import IO

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.buffer.core import default_buffer_prototype

from .link_records import recorded
from .planners.zarr_metadata import ZarrArray
from .reach import Reach
from .stored_image import open_recorded, open_stored


class ZarrChunks(Store):
    """One array, read-only; its metadata are never read from the disk again.

    The owner of a source may write into it at any time. Metadata that the library read for itself could name a codec
    that nobody has checked, and some of those run what a chunk brings along.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(
        self, root: Path, file: str, array: ZarrArray, metadata: bytes, *, follow_links: bool, reach: Reach
    ) -> None:
        """Give out ``metadata`` as the array's file, and chunks as ``open_stored`` opens them below ``root``."""
        super().__init__(read_only=True)
        folder, _, self._name = file.rpartition("/")
        self._root = root
        self._folder = f"{folder}/" if folder else ""
        self._array = array
        self._metadata = metadata
        self._follow_links = follow_links
        self._reach = reach

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The metadata, or the bytes of a chunk or of a part of it; None of a chunk that was never written.

        Raises:
            NoLongerAsImported: what was imported in place is not there as it was.
            UnreadableImage: it is a link that no import recorded.
            OSError: it cannot be opened.
        """
        if key == self._name:
            content: bytes | None = self._metadata
        elif self._array.chunk_position(key) is None:
            content = None
        else:
            content = await asyncio.to_thread(self._read, key, byte_range)
        return None if content is None else (prototype or default_buffer_prototype()).buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """As ``get``, several in turn."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether ``get`` has something of this name."""
        return await self.get(key) is not None

    def _read(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        chunk = f"{self._folder}{key}"
        try:
            with open_stored(self._root, chunk, follow_links=self._follow_links, reach=self._reach) as file:
                return _part(file, byte_range)
        except (FileNotFoundError, NotADirectoryError):
            # A chunk that the import has and that is gone must not be taken for one that was never written.
            record = None if self._follow_links else recorded(self._root, chunk)
            if record is None:
                return None
        with open_recorded(self._root, record) as file:
            return _part(file, byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: what was imported stays as it is."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse, as ``set`` does."""
        self._check_writable()

    def list(self) -> AsyncIterator[str]:
        """Refuse: an array's files are asked for by name."""
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse, as ``list`` does."""
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refuse, as ``list`` does."""
        raise NotImplementedError


def _part(file: IO[bytes], byte_range: ByteRequest | None) -> bytes:
    match byte_range:
        case None:
            return file.read()
        case RangeByteRequest(start=start, end=end):
            file.seek(start)
            return file.read(end - start)
        case OffsetByteRequest(offset=offset):
            file.seek(offset)
            return file.read()
        case SuffixByteRequest(suffix=suffix):
            file.seek(max(0, file.seek(0, 2) - suffix))
            return file.read()
        case _:
            raise TypeError(f"a part of a file is asked for as {byte_range!r}")
