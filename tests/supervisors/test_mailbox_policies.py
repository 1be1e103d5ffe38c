"""What a mailbox takes, refuses and hands out, under each policy and any order of events."""

from collections import deque
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hcs_mesh.supervisors import MailboxLimits, WhenFull
from hcs_mesh.supervisors.mailbox import Mailbox, Offer

MAX_MESSAGES, MAX_BYTES = 4, 100
OUTSIDE_MESSAGES, OUTSIDE_BYTES = 3, 75
FEW = settings(max_examples=60, deadline=None)
ONE_FINDING = settings(max_examples=500, deadline=None, phases=(Phase.generate,), report_multiple_bugs=False)


class Sent(NamedTuple):
    """What stands for a letter."""

    number: int
    n_bytes: int


class Postbox(RuleBasedStateMachine):
    """A mailbox beside a model of plain lists."""

    when_full = WhenFull.REJECT
    made = Mailbox

    def __init__(self) -> None:
        super().__init__()
        self.gave_up: set[Sent] = set()
        self.let_in: list[Sent] = []
        self.forced: set[Sent] = set()
        self.box = self.made(
            MailboxLimits(max_messages=MAX_MESSAGES, max_bytes=MAX_BYTES, when_full=self.when_full), self._admit
        )
        self.inside: deque[tuple[Sent, str | None]] = deque()
        self.of: dict[Sent, str] = {}
        self.line: deque[Sent] = deque()
        self.last = 0

    def _admit(self, letter: Sent) -> bool:
        self.let_in.append(letter)
        return letter not in self.gave_up

    def _room(self, n_bytes: int) -> bool:
        held = sum(one.n_bytes for one, _ in self.inside)
        return not self.inside or (len(self.inside) < MAX_MESSAGES and held + n_bytes <= MAX_BYTES)

    def _refused(self, outsider: str, n_bytes: int) -> Offer | None:
        free_messages = OUTSIDE_MESSAGES - len(self.inside)
        free_bytes = OUTSIDE_BYTES - sum(one.n_bytes for one, _ in self.inside)
        if not outsider or not self.inside:
            return None
        if free_messages < 1 or free_bytes < n_bytes:
            return Offer.REJECTED
        theirs = self._theirs(outsider)
        over = len(theirs) + 1 > free_messages or sum(one.n_bytes for one in theirs) + n_bytes > free_bytes
        return Offer.OVER_SHARE if theirs and over else None

    def _theirs(self, outsider: str) -> list[Sent]:
        return [one for one, _ in self.inside if self.of.get(one) == outsider]

    @rule(
        n_bytes=st.integers(1, 150),
        key=st.sampled_from([None, None, "a", "b"]),
        may_wait=st.booleans(),
        from_outside=st.sampled_from(["", "", "anna", "bert"]),
    )
    def offer(self, n_bytes: int, key: str | None, may_wait: bool, from_outside: str) -> None:
        self.last += 1
        latest = self.when_full is WhenFull.LATEST
        known = [at for at, (_, other) in enumerate(self.inside) if other == key] if latest and key else []
        letter = Sent(self.last, n_bytes)
        refused = self._refused(from_outside, n_bytes)
        self.of[letter] = from_outside
        offered = self.box.offer(letter, key, may_wait=may_wait, from_outside=from_outside)
        if known:
            assert offered is Offer.SUPERSEDED
            self.inside[known[0]] = (letter, key)
        elif refused is not None:
            assert offered is refused
        elif not self.line and self._room(n_bytes):
            assert offered is Offer.TAKEN
            self.inside.append((letter, key if latest else None))
        elif self.when_full is WhenFull.WAIT and may_wait and not from_outside and self._place(n_bytes):
            assert offered is Offer.WAITING
            self.line.append(letter)
        else:
            assert offered is Offer.REJECTED

    def _place(self, n_bytes: int) -> bool:
        held = sum(one.n_bytes for one in self.line)
        return not self.line or (len(self.line) < MAX_MESSAGES and held + n_bytes <= MAX_BYTES)

    @precondition(lambda self: self.box.plain)
    @rule(n_bytes=st.integers(1, 60))
    def offer_in_place(self, n_bytes: int) -> None:
        """As ``Cell.ask``, ``post`` and ``post_run`` do it for most letters."""
        box = self.box
        total = box.n_bytes + n_bytes
        fits = total <= box.max_bytes and len(box.queued) < box.max_messages
        assert fits == (self._room(n_bytes) and not self.line)
        if fits:
            self.last += 1
            letter = Sent(self.last, n_bytes)
            box.queued.append(letter)
            box.n_bytes = total
            self.inside.append((letter, None))

    @precondition(lambda self: self.box.plain and self.inside)
    @rule()
    def take_in_place(self) -> None:
        """As ``Life`` does it."""
        letter = self.box.queued.popleft()
        self.box.n_bytes -= letter.n_bytes
        assert letter == self.inside.popleft()[0]

    @rule(n_bytes=st.integers(1, 150))
    def force(self, n_bytes: int) -> None:
        self.last += 1
        letter = Sent(self.last, n_bytes)
        self.box.force(letter)
        self.forced.add(letter)
        self.inside.append((letter, None))

    @rule()
    def take(self) -> None:
        before = len(self.let_in)
        taken = self.box.take()
        if not self.inside:
            assert taken is None
            return
        assert taken == self.inside.popleft()[0]
        asked = []
        while self.line and self._room(self.line[0].n_bytes):
            letter = self.line.popleft()
            asked.append(letter)
            if letter not in self.gave_up:
                self.inside.append((letter, None))
        assert self.let_in[before:] == asked

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        self.gave_up.add(data.draw(st.sampled_from(list(self.line))))

    @invariant()
    def is_as_the_model(self) -> None:
        assert self.box.letters() == [one for one, _ in self.inside] + list(self.line)
        assert len(self.box) == len(self.inside) + len(self.line)
        assert self.box.n_bytes == sum(one.n_bytes for one, _ in self.inside)

    @invariant()
    def knows_what_is_whose(self) -> None:
        for outsider in ("anna", "bert"):
            theirs = self._theirs(outsider)
            assert self.box.held.of(outsider) == (len(theirs), sum(one.n_bytes for one in theirs))

    @invariant()
    def is_plain_while_every_letter_goes_in_and_out_at_the_ends_and_is_nobodys(self) -> None:
        counted = self._theirs("anna") + self._theirs("bert")
        assert self.box.plain == (self.when_full is not WhenFull.LATEST and not self.line and not counted)

    @invariant()
    def is_bounded(self) -> None:
        held = [one for one, _ in self.inside if one not in self.forced]
        assert len(held) <= MAX_MESSAGES
        assert len(self.line) <= MAX_MESSAGES
        if self.when_full is not WhenFull.LATEST:
            assert len(held) <= 1 or sum(one.n_bytes for one in held) <= MAX_BYTES


@pytest.mark.parametrize("when_full", WhenFull)
def test_a_mailbox_keeps_order_and_bounds_under_any_order_of_events(when_full: WhenFull) -> None:
    run_state_machine_as_test(type("This", (Postbox,), {"when_full": when_full}), settings=FEW)


class _OvertakesTheLine(Mailbox[Sent]):
    def offer(self, letter: Sent, key: object = None, *, may_wait: bool = False, from_outside: str = "") -> Offer:
        waiting, self._waiting = self._waiting, deque()
        try:
            return super().offer(letter, key, may_wait=may_wait, from_outside=from_outside)
        finally:
            self._waiting = deque([*waiting, *self._waiting])


class _ForgetsTheNewSize(Mailbox[Sent]):
    def offer(self, letter: Sent, key: object = None, *, may_wait: bool = False, from_outside: str = "") -> Offer:
        before = self.n_bytes
        offered = super().offer(letter, key, may_wait=may_wait, from_outside=from_outside)
        if offered is Offer.SUPERSEDED:
            self.n_bytes = before
        return offered


@pytest.mark.parametrize(
    ("fault", "when_full"), [(_OvertakesTheLine, WhenFull.WAIT), (_ForgetsTheNewSize, WhenFull.LATEST)]
)
def test_the_state_machine_finds_planted_faults(fault: type[Mailbox[Sent]], when_full: WhenFull) -> None:
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(
            type("Faulty", (Postbox,), {"when_full": when_full, "made": fault}), settings=ONE_FINDING
        )


def test_one_message_larger_than_the_limit_is_taken_when_it_is_alone() -> None:
    box: Mailbox[Sent] = Mailbox(MailboxLimits(max_messages=1, max_bytes=10))
    assert box.offer(Sent(1, 1000)) is Offer.TAKEN
    assert box.offer(Sent(2, 1)) is Offer.REJECTED


def test_who_is_outside_does_not_stand_in_the_line_of_the_mesh() -> None:
    box: Mailbox[Sent] = Mailbox(MailboxLimits(max_messages=8, max_bytes=80, when_full=WhenFull.WAIT))
    assert box.offer(Sent(1, 40)) is Offer.TAKEN
    assert box.offer(Sent(2, 60), may_wait=True) is Offer.WAITING
    # There is room for it, which who came before it waits for.
    assert box.offer(Sent(3, 1), may_wait=True, from_outside="anna") is Offer.REJECTED
    assert box.offer(Sent(4, 1), may_wait=True) is Offer.WAITING
    assert [box.take(), box.take(), box.take(), box.take()] == [Sent(1, 40), Sent(2, 60), Sent(4, 1), None]
    assert box.held.of("anna") == (0, 0)


def test_of_keys_that_flood_what_is_not_read_each_takes_half_of_what_is_left_and_one_the_last_place() -> None:
    box: Mailbox[Sent] = Mailbox(MailboxLimits())
    taken = []
    for number in range(14):
        n_taken = 0
        while box.offer(Sent(n_taken, 1), from_outside=f"flood{number}") is Offer.TAKEN:
            n_taken += 1
        taken.append(n_taken)
    assert taken[:3] == [3750, 1875, 938]
    assert taken[12:] == [1, 0]
    assert len(box) == 7500


def test_keys_that_flood_by_turns_what_is_not_read_have_equal_parts_and_leave_one_more() -> None:
    box: Mailbox[Sent] = Mailbox(MailboxLimits(max_messages=1000))
    while [box.offer(Sent(0, 1), from_outside=name) for name in ("anna", "bert")].count(Offer.TAKEN):
        pass
    assert [box.held.of(name)[0] for name in ("anna", "bert")] == [250, 250]


def test_a_reminder_of_the_actor_to_itself_always_gets_in() -> None:
    box: Mailbox[Sent] = Mailbox(MailboxLimits(max_messages=1))
    box.offer(Sent(1, 1))
    box.force(Sent(2, 1))
    assert [box.take(), box.take()] == [Sent(1, 1), Sent(2, 1)]
    assert box.n_bytes == 0


def test_however_many_flood_a_mailbox_that_is_read_each_has_its_share_and_there_is_room_for_one_more() -> None:
    box: Mailbox[Sent] = Mailbox(MailboxLimits(max_messages=1000))
    flooding = [f"flood{number}" for number in range(9)]
    for n_read in range(3000):
        for name in flooding:
            while box.offer(Sent(n_read, 1), from_outside=name) is Offer.TAKEN:
                pass
        box.take()
    # Ten parts of the 750 that are outsiders': one for each who floods, and one that is free.
    assert {box.held.of(name)[0] for name in flooding} <= {74, 75, 76}
    for _ in range(30):
        assert box.offer(Sent(0, 1), from_outside="modest") is Offer.TAKEN
