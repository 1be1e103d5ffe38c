"""What the zarr library reads an array from that was imported in place: each file as it was imported, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.buffer.core import default_buffer_prototype

from .link_records import recorded
from .stored_image import open_recorded


class LinkedZarr(Store):
    """The folder of one array, read-only; it has the files that the import recorded and no others."""

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, root: Path, folder: str) -> None:
        """Read below ``folder``, relative to ``root`` as the plate's files are."""
        super().__init__(read_only=True)
        self._root = root
        self._folder = f"{folder}/" if folder else ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LinkedZarr) and (self._root, self._folder) == (other._root, other._folder)

    def __hash__(self) -> int:
        return hash((self._root, self._folder))

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes of a file, or a part of them; None of a file that the array never had.

        Raises:
            NoLongerAsImported: it is not there as it was imported.
        """
        content = await asyncio.to_thread(self._read, key, byte_range)
        return None if content is None else (prototype or default_buffer_prototype()).buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """As ``get``, several in turn."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether the import has a file of this name."""
        return await asyncio.to_thread(recorded, self._root, self._folder + key) is not None

    def _read(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        # A file that the import has and that is gone must not be taken for a chunk that was never written.
        record = recorded(self._root, self._folder + key)
        if record is None:
            return None
        with open_recorded(self._root, record) as file:
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
