"""What peers do that they should not is counted all, and told once of a kind and a key, then ever more rarely."""

import logging

import pytest

from hcs_mesh.transport.offences import FADES_S, MAX_COUNTS, MAX_LETTERS, REMINDED_S, Offences


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return found


def test_a_flood_is_told_at_powers_of_two(caplog: pytest.LogCaptureFixture) -> None:
    offences = Offences("the port", now=Clock())
    told = [offences.add("garbage", "anna", "it is garbage") for _ in range(1_000)]
    assert [number for number, one in enumerate(told, 1) if one] == [2**power for power in range(10)]
    assert lines(caplog)[-1] == "refused on the port: it is garbage (512 so far)"
    assert offences.n == 1_000


def test_another_kind_and_another_key_are_told_however_much_there_was_before(caplog: pytest.LogCaptureFixture) -> None:
    offences = Offences("the port", now=Clock())
    for _ in range((1 << 12) + 1):
        offences.add("garbage", "anna", "it is garbage")
    lines(caplog)
    assert not offences.add("garbage", "anna", "it is garbage")
    assert offences.add("revoked", "anna", "the key was revoked")
    assert offences.add("garbage", "bert", "it is garbage, too")
    assert lines(caplog) == [
        "refused on the port: the key was revoked (1 so far)",
        "refused on the port: it is garbage, too (1 so far)",
    ]


def test_a_count_fades_when_nothing_is_added_to_it(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    offences = Offences("the port", now=clock)
    for _ in range(1 << 12):
        offences.add("garbage", "anna", "it is garbage")
    clock.now_s += 5 * FADES_S
    n_told = sum(offences.add("garbage", "anna", "again") for _ in range(1 << 8))
    assert n_told == 1
    clock.now_s += 13 * FADES_S
    lines(caplog)
    assert offences.add("garbage", "anna", "and again")
    assert lines(caplog) == ["refused on the port: and again (1 so far)"]


def test_what_goes_on_is_told_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    offences = Offences("the port", now=clock)
    n_told = 0
    for _ in range(10_000):
        clock.now_s += 1.0
        n_told += offences.add("garbage", "anna", "it goes on")
    assert 10_000 / REMINDED_S <= n_told <= 10_000 / REMINDED_S + 14


def test_who_makes_ever_new_keys_makes_no_flood_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    offences = Offences("the port", now=clock)
    for number in range(20_000):
        offences.add("handshake", f"key {number}", "it is on no list")
    assert len(lines(caplog)) <= MAX_COUNTS + 16
    clock.now_s += 100 * FADES_S
    assert offences.add("handshake", "one more", "it is on no list")
    assert lines(caplog) == ["refused on the port: it is on no list (1 so far)"]


def test_a_line_is_no_longer_than_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    Offences("the port", now=Clock()).add("garbage", "anna", "x" * 1_000_000)
    assert len(lines(caplog)[0]) < MAX_LETTERS + 100
