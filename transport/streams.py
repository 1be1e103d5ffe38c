"""One viewer's stream: what is sent next, what is skipped, which slots return (pure).

Events go in as method calls, instructions come out: ``Send`` and ``Release``, to be performed in order, and ``HangUp``.
Every send costs a credit, every acknowledgement returns one. While no credit is left, newer pixels take the place of
older ones of the same plane and layer, and facts queue up.

Nothing overtakes a fact that was published before it: a layer's description arrives before its pixels do.

Memory is bounded: at most one waiting item per plane and layer, at most ``max_facts`` waiting facts (a viewer that
falls behind further is hung up on, and gets the snapshot when it comes back), at most ``n_credits`` items in flight.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..config.errors import MeshError
from .planes.allocator import Lease

P = TypeVar("P")
F = TypeVar("F")

MAX_FACTS = 100_000


class StreamError(MeshError, ValueError):
    """The viewer acknowledged something that it was not sent."""


@dataclass(frozen=True, slots=True)
class Pixels(Generic[P]):
    """A plane of a layer: ``body`` says where to get it; ``lease`` names its slot, if it lies in the ring already."""

    layer: str
    coordinates: tuple[Hashable, ...]
    body: P
    lease: Lease | None = None

    @property
    def key(self) -> tuple[str, tuple[Hashable, ...]]:
        """What newer pixels must share to take its place."""
        return self.layer, self.coordinates


@dataclass(frozen=True, slots=True)
class Fact(Generic[F]):
    """Status, a table, ROIs, a layer's description: each is delivered; a snapshot holds the latest of each key."""

    key: Hashable
    body: F


Item = Pixels[P] | Fact[F]


@dataclass(frozen=True, slots=True)
class Send(Generic[P, F]):
    """Send this item under this number; so many older pixels of its key were skipped."""

    sequence: int
    item: Pixels[P] | Fact[F]
    n_skipped: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """End the viewer's hold on this slot."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the stream: the viewer is too far behind to be told everything."""

    reason: str


Instruction = Send[P, F] | Release | HangUp


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """What a stream has done and what waits in it."""

    n_credits: int
    n_in_flight: int
    n_waiting: int
    n_sent: int
    n_acknowledged: int
    n_skipped: int


@dataclass(slots=True)
class _Waiting(Generic[P, F]):
    item: Pixels[P] | Fact[F]
    n_skipped: int


class StreamState(Generic[P, F]):
    """The latest of everything: what a viewer that joins late is sent first."""

    def __init__(self) -> None:
        self._latest: dict[tuple[bool, Hashable], Pixels[P] | Fact[F]] = {}

    def publish(self, item: Pixels[P] | Fact[F]) -> None:
        """Take an item in, in place of the one before it with its key."""
        key = (isinstance(item, Fact), item.key)
        self._latest.pop(key, None)
        self._latest[key] = item

    def forget_layer(self, layer: str) -> int:
        """Leave a layer's pixels out from now on; returns how many there were."""
        gone = [key for key, item in self._latest.items() if isinstance(item, Pixels) and item.layer == layer]
        for key in gone:
            del self._latest[key]
        return len(gone)

    def snapshot(self) -> tuple[Pixels[P] | Fact[F], ...]:
        """Return the latest of each key in the order of their publication."""
        return tuple(self._latest.values())

    def __len__(self) -> int:
        return len(self._latest)


class ViewerStream(Generic[P, F]):
    """Numbers what one viewer is sent, within its credits."""

    def __init__(self, n_credits: int, *, max_facts: int = MAX_FACTS) -> None:
        """Start with all credits; ``n_credits`` must be smaller than the number of the ring's slots.

        Raises:
            ValueError: there is not even one credit.
        """
        if n_credits < 1:
            raise ValueError(f"a stream needs at least one credit, not {n_credits}")
        self.n_credits = n_credits
        self._max_facts = max_facts
        self._waiting: dict[int, _Waiting[P, F]] = {}  # by order of publication; dicts keep it
        self._places: dict[tuple[str, tuple[Hashable, ...]], int] = {}
        self._order = 0
        self._last_fact = -1
        self._n_facts = 0
        self._in_flight: dict[int, Lease | None] = {}
        self._sequence = 0
        self._n_acknowledged = self._n_skipped = 0
        self._over = False

    def join(self, snapshot: Iterable[Pixels[P] | Fact[F]]) -> list[Instruction[P, F]]:
        """Begin with everything that holds now; what is published from here on is the tail."""
        instructions: list[Instruction[P, F]] = []
        for item in snapshot:
            instructions += self.publish(item)
        return instructions

    def publish(self, item: Pixels[P] | Fact[F]) -> list[Instruction[P, F]]:
        """Send the item now or when a credit returns; with a lease, the viewer must hold the slot already."""
        if self._over:
            return [Release(item.lease)] if isinstance(item, Pixels) and item.lease else []
        if isinstance(item, Fact):
            if self._n_facts >= self._max_facts:
                return [*self.gone(), HangUp(f"{self._n_facts} facts wait for a viewer that does not acknowledge")]
            self._last_fact = self._order
            self._n_facts += 1
            self._enqueue(_Waiting(item, 0))
            return self._pump()
        instructions = self._supersede(item)
        return instructions + self._pump()

    def placed(self, sequence: int, lease: Lease) -> list[Instruction[P, F]]:
        """Note the slot that a sent plane was written to, held by the viewer, so that it returns with its number."""
        if self._over:
            return [Release(lease)]
        if sequence not in self._in_flight:
            raise StreamError(f"nothing numbered {sequence} is in flight")
        self._in_flight[sequence] = lease
        return []

    def acknowledged(self, sequence: int) -> list[Instruction[P, F]]:
        """Return the item's credit and its slot, and send on.

        Raises:
            StreamError: nothing of that number is in flight.
        """
        if self._over:
            return []  # its last words crossed with the hanging up; everything was released then
        if sequence not in self._in_flight:
            raise StreamError(
                f"number {sequence} was acknowledged, in flight are {sorted(self._in_flight) or 'none'}",
                hint="Each number is acknowledged once, after it was received.",
            )
        lease = self._in_flight.pop(sequence)
        self._n_acknowledged += 1
        released: list[Instruction[P, F]] = [Release(lease)] if lease else []
        return released + self._pump()

    def gone(self) -> list[Instruction[P, F]]:
        """End the stream of a viewer that is proven dead or was hung up on: all of its slots return."""
        self._over = True
        held = [lease for lease in self._in_flight.values() if lease]
        held += [w.item.lease for w in self._waiting.values() if isinstance(w.item, Pixels) and w.item.lease]
        self._in_flight.clear()
        self._waiting.clear()
        self._places.clear()
        return [Release(lease) for lease in held]

    def statistics(self) -> StreamStatistics:
        """Return what was sent and what waits."""
        return StreamStatistics(
            n_credits=self.n_credits,
            n_in_flight=len(self._in_flight),
            n_waiting=len(self._waiting),
            n_sent=self._sequence,
            n_acknowledged=self._n_acknowledged,
            n_skipped=self._n_skipped,
        )

    def _supersede(self, item: Pixels[P]) -> list[Instruction[P, F]]:
        """Let newer pixels wait in place of older ones of their key, behind every fact that was published before."""
        place = self._places.get(item.key)
        if place is None:
            self._enqueue(_Waiting(item, 0))
            return []
        older = self._waiting[place]
        self._n_skipped += 1
        newer: _Waiting[P, F] = _Waiting(item, older.n_skipped + 1)
        if place > self._last_fact:
            self._waiting[place] = newer  # keeps its turn, so that a plane that changes often is still shown
        else:
            del self._waiting[place]
            self._enqueue(newer)
        lease = older.item.lease if isinstance(older.item, Pixels) else None
        return [Release(lease)] if lease else []

    def _enqueue(self, waiting: _Waiting[P, F]) -> None:
        self._waiting[self._order] = waiting
        if isinstance(waiting.item, Pixels):
            self._places[waiting.item.key] = self._order
        self._order += 1

    def _pump(self) -> list[Instruction[P, F]]:
        instructions: list[Instruction[P, F]] = []
        while self._waiting and len(self._in_flight) < self.n_credits:
            order = next(iter(self._waiting))
            waiting = self._waiting.pop(order)
            self._sequence += 1
            if isinstance(waiting.item, Pixels):
                del self._places[waiting.item.key]
                self._in_flight[self._sequence] = waiting.item.lease
            else:
                self._n_facts -= 1
                self._in_flight[self._sequence] = None
            instructions.append(Send(self._sequence, waiting.item, waiting.n_skipped))
        return instructions
