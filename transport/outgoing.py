"""What is to be said over one channel of a link when the tick ends."""

from __future__ import annotations

from . import codec
from .errors import BadMessage
from .messages import Event


class Outgoing:
    """Envelopes in the order of their making; events for one actor that follow each other share one."""

    __slots__ = ("_bodies", "_head_bytes", "_n_events", "_sealed", "_target", "n_bytes", "n_sealed")

    def __init__(self) -> None:
        self.n_bytes = 0
        """At most so many bytes will the batch have."""
        self.n_sealed = 0
        """Envelopes, and events of runs, that are complete; with MAX_RUN of them the batch has to leave."""
        self._sealed: list[bytes] = []
        self._bodies = bytearray()
        self._n_events = 0
        self._target = ""
        self._head_bytes = codec.RUN_HEAD_BYTES

    def add(self, sealed: bytes) -> None:
        """Add an envelope."""
        if self._n_events:
            self._close()
        self._sealed.append(sealed)
        self.n_sealed += 1
        self.n_bytes += len(sealed)

    def tell(self, target: str, event: Event, room_bytes: int) -> bool:
        """Add an event for an actor; False when it fits into no batch of ``room_bytes`` that begins with what is here.

        Raises:
            BadMessage: it cannot travel.
        """
        n_events, bodies = self._n_events, self._bodies
        if target != self._target or n_events >= codec.MAX_RUN:
            if n_events:
                self._close()
                n_events, bodies = 0, self._bodies
            if self.n_sealed >= codec.MAX_RUN:
                return False
            try:
                self._head_bytes = codec.RUN_HEAD_BYTES + len(target.encode())
            except UnicodeEncodeError:
                return False
            self._target = target
        before = len(bodies)
        try:
            codec.encode_into(event, bodies)
        except BadMessage:
            del bodies[before:]
            raise
        n_bytes = self.n_bytes + len(bodies) - before
        if not n_events:
            n_bytes += self._head_bytes
        if n_bytes > room_bytes:
            del bodies[before:]
            return False
        self._n_events = n_events + 1
        self.n_bytes = n_bytes
        return True

    def take(self) -> list[bytes]:
        """What was added, which is then forgotten."""
        if self._n_events:
            self._close()
        sealed, self._sealed = self._sealed, []
        self.n_bytes = self.n_sealed = 0
        return sealed

    def _close(self) -> None:
        self._sealed.append(codec.seal_run(self._target, self._n_events, self._bodies))
        self._bodies = bytearray()
        self.n_sealed += self._n_events
        self._n_events = 0
