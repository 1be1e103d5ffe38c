"""Which slot is free, which is being filled, and who holds which (pure).

A slot is free again when its producer has let go of it and no consumer holds it. Each use of a slot has its own
generation, so that an acknowledgement that comes late or twice cannot free somebody else's plane.

Slots that are taken for a party, the key of a viewer for instance, are shared as a mailbox is: a party has no more of
them than are still free to it, and one in ``KEPT_FOR_OWNER`` is free to the owner alone.
"""

from collections import Counter, defaultdict
from typing import NamedTuple

from .errors import StaleAcknowledgement

KEPT_FOR_OWNER = 4
"""One slot in so many is kept for the owner, whatever the other parties hold."""


class Lease(NamedTuple):
    """One use of a slot."""

    slot: int
    generation: int


class SlotAllocator:
    """Hands out slots and takes them back; never hands one out that is still in use."""

    def __init__(self, n_slots: int, *, owner: str = "") -> None:
        """Start with all slots free, some of them to the party ``owner`` alone.

        Raises:
            ValueError: there is not even one slot.
        """
        if n_slots < 1:
            raise ValueError(f"a ring needs at least one slot, not {n_slots}")
        self.n_slots = n_slots
        # Last in, first out: the slot used last is the one still in the processor's cache.
        self._free = list(reversed(range(n_slots)))
        self._generations = [0] * n_slots
        self._filling: set[int] = set()
        self._kept: set[int] = set()
        self._holders: dict[int, set[str]] = {}
        self._held_by: defaultdict[str, set[int]] = defaultdict(set)
        self._owner = owner
        self._n_kept = n_slots // KEPT_FOR_OWNER if owner else 0
        self._party_of: dict[int, str] = {}
        self._n_of: Counter[str] = Counter()

    @property
    def n_free(self) -> int:
        """How many slots can be reserved now."""
        return len(self._free)

    @property
    def n_filling(self) -> int:
        """How many slots are reserved and not yet filled."""
        return len(self._filling)

    @property
    def n_held(self) -> int:
        """How many slots are filled and held by the producer or a consumer."""
        return len(self._holders)

    def part(self, party: str = "") -> int:
        """How many slots a party can hold while nobody else holds any; all of them without one."""
        n_open = self.n_slots - (0 if not party or party == self._owner else self._n_kept)
        return (n_open + 1) // 2 if party else n_open

    def reserve(self, party: str = "") -> Lease | None:
        """Take a free slot for filling, under a new generation; None when there is none, or none for this party."""
        if not self._free or (party and not self._has_room(party)):
            return None
        slot = self._free.pop()
        if party:
            self._party_of[slot] = party
            self._n_of[party] += 1
        self._generations[slot] += 1
        self._filling.add(slot)
        return Lease(slot, self._generations[slot])

    def fill(self, lease: Lease) -> None:
        """Say that the slot is filled; the producer holds it until ``let_go``.

        Raises:
            StaleAcknowledgement: the lease is not being filled.
        """
        self._check(lease, lease.slot in self._filling, "is not being filled")
        self._filling.remove(lease.slot)
        self._kept.add(lease.slot)
        self._holders[lease.slot] = set()

    def hold(self, lease: Lease, consumer: str) -> None:
        """Let a consumer hold a filled slot until it acknowledges or is gone.

        Raises:
            StaleAcknowledgement: the slot is not filled under this generation, or the consumer holds it already.
        """
        free_to_hold = consumer not in self._holders.get(lease.slot, {consumer})
        self._check(lease, free_to_hold, f"cannot be held by {consumer}")
        self._holders[lease.slot].add(consumer)
        self._held_by[consumer].add(lease.slot)

    def let_go(self, lease: Lease) -> None:
        """End the producer's own hold, of a filled slot or of one that is not going to be filled.

        Raises:
            StaleAcknowledgement: the producer does not hold it.
        """
        self._check(lease, lease.slot in self._kept or lease.slot in self._filling, "was let go before")
        self._kept.discard(lease.slot)
        if lease.slot in self._filling:
            self._filling.remove(lease.slot)
            self._free_again(lease.slot)
        else:
            self._free_if_unused(lease.slot)

    def acknowledge(self, lease: Lease, consumer: str) -> None:
        """End a consumer's hold.

        Raises:
            StaleAcknowledgement: the consumer does not hold this generation of the slot.
        """
        self._check(lease, consumer in self._holders.get(lease.slot, ()), f"is not held by {consumer}")
        self._holders[lease.slot].remove(consumer)
        self._held_by[consumer].remove(lease.slot)
        self._free_if_unused(lease.slot)

    def release_all(self, consumer: str) -> int:
        """End every hold of a consumer that is proven dead; returns how many there were."""
        slots = self._held_by.pop(consumer, set())
        for slot in slots:
            self._holders[slot].remove(consumer)
            self._free_if_unused(slot)
        return len(slots)

    def holders(self, slot: int) -> frozenset[str]:
        """Return the consumers that hold a slot."""
        return frozenset(self._holders.get(slot, ()))

    def _check(self, lease: Lease, allowed: bool, complaint: str) -> None:  # noqa: FBT001
        if not (0 <= lease.slot < self.n_slots and self._generations[lease.slot] == lease.generation and allowed):
            raise StaleAcknowledgement(f"generation {lease.generation} of slot {lease.slot} {complaint}")

    def _free_if_unused(self, slot: int) -> None:
        if slot not in self._kept and not self._holders[slot]:
            del self._holders[slot]
            self._free_again(slot)

    def _has_room(self, party: str) -> bool:
        n_free = len(self._free) - (0 if party == self._owner else self._n_kept)
        return self._n_of[party] < n_free

    def _free_again(self, slot: int) -> None:
        self._free.append(slot)
        party = self._party_of.pop(slot, "")
        if party:
            self._n_of[party] -= 1
            if not self._n_of[party]:
                del self._n_of[party]
