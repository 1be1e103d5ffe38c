"""Keeps one ring at a time for the publisher, whatever becomes of the publisher."""

from __future__ import annotations

from pathlib import Path

from ...transport.planes import Ring


class RingKeeper:
    """Makes a ring for each life of the publisher, and closes the one before it.

    A publisher that fails cannot close its ring itself, and its process lives on with the memory.
    """

    def __init__(self, folder: Path | None = None, *, slot_bytes: int, n_slots: int, owner: str = "") -> None:
        """Make rings of this size, with slots kept for ``owner``; ``folder`` None means the host's memory disk."""
        self._folder = folder
        self._slot_bytes = slot_bytes
        self._n_slots = n_slots
        self._owner = owner
        self._ring: Ring | None = None

    def renew(self) -> Ring:
        """Close the ring of the life before and make one with every slot free.

        Raises:
            RingError: there is no room for it.
        """
        self.close()
        self._ring = Ring(self._folder, slot_bytes=self._slot_bytes, n_slots=self._n_slots, owner=self._owner)
        return self._ring

    def close(self) -> None:
        """Give the memory back."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
