"""What the zarr library is given of one array: the metadata that were checked, and the chunks they speak of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.buffer.core import default_buffer_prototype

from .planners.zarr_metadata import ZarrArray
from .zarr_files import Part, ZarrFiles


class ZarrChunks(Store):
    """One array, read-only; its metadata are never read from the disk again.

    The owner of a source may write into it at any time. Metadata that the library read for itself could name a codec
    that nobody has checked, and some of those run what a chunk brings along.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, files: ZarrFiles, file: str, array: ZarrArray, metadata: bytes) -> None:
        """Give out ``metadata`` as the array's file, and the chunks of ``files``."""
        super().__init__(read_only=True)
        folder, _, self._name = file.rpartition("/")
        self._files = files
        self._folder = f"{folder}/" if folder else ""
        self._array = array
        self._metadata = metadata

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The metadata, or the bytes of a chunk or of a part of it; None of a chunk that was never written.

        Raises:
            UnreadableImage: it may not be read.
            OSError: it cannot be had.
        """
        if key == self._name:
            content: bytes | None = self._metadata
        elif self._array.chunk_position(key) is None:
            content = None
        else:
            content = await asyncio.to_thread(self._files.chunk, f"{self._folder}{key}", _part(byte_range))
        return None if content is None else (prototype or default_buffer_prototype()).buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """As ``get``, several in turn."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether ``get`` has something of this name."""
        return await self.get(key) is not None

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


def _part(byte_range: ByteRequest | None) -> Part | None:
    match byte_range:
        case None:
            return None
        case RangeByteRequest(start=start, end=end):
            return Part(start, end - start)
        case OffsetByteRequest(offset=offset):
            return Part(offset)
        case SuffixByteRequest(suffix=suffix):
            return Part(-suffix)
        case _:
            raise TypeError(f"a part of a file is asked for as {byte_range!r}")
