"""The slot allocator: no slot is ever handed out twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hcs_mesh.transport.planes import Lease, SlotAllocator, StaleAcknowledgement

N_SLOTS = 3
CONSUMERS = ("napari", "fiji", "recorder")


class Slots(RuleBasedStateMachine):
    """The allocator beside the plainest model: per slot, the set of who uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = SlotAllocator(N_SLOTS)
        self.users: dict[Lease, set[str]] = {}
        self.filling: set[Lease] = set()
        self.past: list[Lease] = []

    def forget_unused(self) -> None:
        for lease in [lease for lease, users in self.users.items() if not users]:
            del self.users[lease]

    @rule()
    def reserve(self) -> None:
        in_use = {lease.slot for lease in self.users}
        lease = self.allocator.reserve()
        assert (lease is None) == (len(in_use) == N_SLOTS)
        if lease is not None:
            assert lease.slot not in in_use
            assert lease not in self.past
            self.past.append(lease)
            self.users[lease] = {"producer"}
            self.filling.add(lease)

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def fill(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.past))
        if lease in self.filling:
            self.allocator.fill(lease)
            self.filling.remove(lease)
        else:
            with pytest.raises(StaleAcknowledgement):
                self.allocator.fill(lease)

    @precondition(lambda self: self.past)
    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS))
    def hold(self, data: st.DataObject, consumer: str) -> None:
        lease = data.draw(st.sampled_from(self.past))
        users = self.users.get(lease)
        if users is None or lease in self.filling or consumer in users:
            with pytest.raises(StaleAcknowledgement):
                self.allocator.hold(lease, consumer)
        else:
            self.allocator.hold(lease, consumer)
            users.add(consumer)

    @precondition(lambda self: self.past)
    @rule(data=st.data(), consumer=st.sampled_from(CONSUMERS))
    def acknowledge(self, data: st.DataObject, consumer: str) -> None:
        lease = data.draw(st.sampled_from(self.past))
        if consumer in self.users.get(lease, ()):
            self.allocator.acknowledge(lease, consumer)
            self.users[lease].remove(consumer)
            self.forget_unused()
        else:
            with pytest.raises(StaleAcknowledgement):
                self.allocator.acknowledge(lease, consumer)

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.past))
        if "producer" in self.users.get(lease, ()):
            self.allocator.let_go(lease)
            self.users[lease].remove("producer")
            self.filling.discard(lease)
            self.forget_unused()
        else:
            with pytest.raises(StaleAcknowledgement):
                self.allocator.let_go(lease)

    @rule(consumer=st.sampled_from(CONSUMERS))
    def die(self, consumer: str) -> None:
        held = [users for users in self.users.values() if consumer in users]
        assert self.allocator.release_all(consumer) == len(held)
        for users in held:
            users.remove(consumer)
        self.forget_unused()

    @invariant()
    def every_slot_is_in_one_state(self) -> None:
        assert self.allocator.n_free == N_SLOTS - len(self.users)
        assert self.allocator.n_filling == len(self.filling)
        assert self.allocator.n_held == len(self.users) - len(self.filling)
        for lease, users in self.users.items():
            assert self.allocator.holders(lease.slot) == users - {"producer"}


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_an_acknowledgement_of_an_earlier_plane_does_not_free_the_present_one():
    allocator = SlotAllocator(1)
    first = allocator.reserve()
    assert first is not None
    allocator.fill(first)
    allocator.let_go(first)
    second = allocator.reserve()
    assert second is not None
    allocator.fill(second)
    allocator.hold(second, "napari")
    allocator.let_go(second)
    with pytest.raises(StaleAcknowledgement, match="generation 1 of slot 0 is not held by napari"):
        allocator.acknowledge(first, "napari")
    assert allocator.n_free == 0


@given(st.integers(2, 64), st.sampled_from(["owner", "mallory"]))
def test_one_party_leaves_slots_to_the_others_however_many_it_wants(n_slots: int, greedy: str) -> None:
    allocator = SlotAllocator(n_slots, owner="owner")
    while allocator.reserve(greedy) is not None:
        pass
    assert n_slots // 4 <= n_slots - allocator.n_free <= (n_slots + 1) // 2
    assert allocator.reserve("eva") is not None
    if n_slots >= 4 and greedy != "owner":
        assert allocator.reserve("owner") is not None


@given(st.integers(4, 32), st.lists(st.sampled_from([f"key{n}" for n in range(40)]), max_size=400))
def test_what_is_kept_is_the_owners_whatever_all_others_take(n_slots: int, comings: list[str]) -> None:
    allocator = SlotAllocator(n_slots, owner="owner")
    for party in comings:
        allocator.reserve(party)
    assert allocator.n_free >= n_slots // 4
    assert allocator.reserve("owner") is not None


def test_a_slot_that_comes_back_is_its_partys_no_more() -> None:
    allocator = SlotAllocator(4)
    leases = [allocator.reserve("eva"), allocator.reserve("eva")]
    assert allocator.reserve("eva") is None
    for lease in leases:
        assert lease is not None
        allocator.fill(lease)
        allocator.hold(lease, "napari")
        allocator.let_go(lease)
    assert allocator.reserve("eva") is None
    allocator.release_all("napari")
    assert [allocator.reserve("eva") is not None for _ in range(3)] == [True, True, False]
