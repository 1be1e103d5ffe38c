"""How much of what an actor has waiting, or has deferred, is one key's: so that there is room for the others."""

from __future__ import annotations

SHARES = 4
"""Of what an actor may defer, one in so many may be one key's; what the mesh hands over itself has no share."""


class _Held:
    __slots__ = ("n_bytes", "n_messages")

    def __init__(self) -> None:
        self.n_messages = 0
        self.n_bytes = 0


class Shares:
    """Counts by the name of whoever said it, of those only of whom there is something."""

    def __init__(self) -> None:
        """Nobody has anything yet."""
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def of(self, name: str) -> tuple[int, int]:
        """How many messages, and of how many bytes together, are of this name."""
        held = self._held.get(name)
        return (held.n_messages, held.n_bytes) if held is not None else (0, 0)

    def has_room(self, name: str, n_bytes: int, *, max_messages: int, max_bytes: int) -> bool:
        """Whether one more message of this name stays within its share; the first always does."""
        held = self._held.get(name)
        return held is None or (held.n_messages < max_messages and held.n_bytes + n_bytes <= max_bytes)

    def add(self, name: str, n_bytes: int) -> None:
        """One message more is of this name."""
        held = self._held.get(name)
        if held is None:
            held = self._held[name] = _Held()
        held.n_messages += 1
        held.n_bytes += n_bytes

    def remove(self, name: str, n_bytes: int) -> None:
        """A message of this name is over, if it was counted."""
        held = self._held.get(name)
        if held is None:
            return
        held.n_messages -= 1
        held.n_bytes -= n_bytes
        if not held.n_messages:
            del self._held[name]
