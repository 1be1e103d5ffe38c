"""Which keys are shut out because nothing can be heard over the connections that they make."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st

from hcs_mesh.transport.shut_outs import FIRST_LOOKS, LONGEST_LOOKS, ShutOuts
from hcs_mesh.transport.unheard import HELD_OFF, LAPSE_LOOKS, LOOK_S, LOOKS, MOST_UNHEARD, PATIENCE_LOOKS, Unheard


def looks(unheard: Unheard, n: int) -> list[str]:
    return [key for _ in range(n) for key in unheard.look()]


def handshakes(unheard: Unheard, key: str, n: int) -> None:
    for _ in range(n):
        unheard.add(key)


@hypothesis.given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, PATIENCE_LOOKS)), max_size=50))
def test_who_is_heard_in_time_is_never_shut_out_whatever_others_do(comings: list[tuple[int, int]]) -> None:
    unheard = Unheard()
    for n, wait in comings:
        unheard.suspect()
        handshakes(unheard, "anna", n)
        assert looks(unheard, wait) == []
        for _ in range(n):
            unheard.heard("anna")
    assert looks(unheard, 2 * LOOKS) == []


def test_who_makes_connections_that_are_not_heard_is_shut_out_once_they_take_too_much() -> None:
    unheard = Unheard()
    handshakes(unheard, "eve", MOST_UNHEARD)
    handshakes(unheard, "anna", 1)
    unheard.heard("anna")
    assert looks(unheard, PATIENCE_LOOKS) == []
    unheard.suspect()
    assert looks(unheard, LOOKS) == ["eve"]


def test_without_suspicion_nobody_is_shut_out() -> None:
    unheard = Unheard()
    for _ in range(100):
        handshakes(unheard, "anna", MOST_UNHEARD)
        assert looks(unheard, LOOKS) == []


def test_a_suspicion_ends() -> None:
    unheard = Unheard()
    unheard.suspect()
    assert looks(unheard, LOOKS) == []
    handshakes(unheard, "anna", 10)
    assert looks(unheard, LOOKS) == []


def test_who_went_away_in_the_middle_of_one_handshake_is_not_shut_out() -> None:
    unheard = Unheard()
    handshakes(unheard, "anna", MOST_UNHEARD - 1)
    unheard.suspect()
    assert looks(unheard, LOOKS) == []


def test_that_somebody_else_is_heard_excuses_nobody() -> None:
    unheard = Unheard()
    handshakes(unheard, "eve", MOST_UNHEARD)
    unheard.heard("anna")
    unheard.suspect()
    assert looks(unheard, LOOKS) == ["eve"]


def test_who_is_heard_after_several_seconds_is_heard_in_time() -> None:
    assert PATIENCE_LOOKS * LOOK_S >= 3.0
    assert LOOKS > PATIENCE_LOOKS


def test_while_somebody_is_suspected_a_key_makes_few_connections_that_are_not_heard() -> None:
    unheard = Unheard()
    assert all(unheard.add("anna") for _ in range(HELD_OFF + 1))
    unheard.suspect()
    assert not unheard.add("anna")
    assert [unheard.add("eve") for _ in range(HELD_OFF + 1)] == [True] * HELD_OFF + [False]
    unheard.heard("eve")
    assert unheard.add("eve"), "who is heard may come again"


def test_a_key_has_so_many_connections_that_are_not_heard_until_they_are_hung_up_on() -> None:
    unheard = Unheard(most_of_key=3)
    assert [unheard.add("eve") for _ in range(4)] == [True, True, True, False]
    assert unheard.add("anna")
    assert looks(unheard, LAPSE_LOOKS) == []
    assert not unheard.add("eve")
    looks(unheard, 1)
    assert unheard.add("eve")


def test_a_shut_out_ends_after_a_minute_and_each_further_one_after_twice_as_long_up_to_an_hour() -> None:
    shut_outs, now, took_s = ShutOuts(), 0, []
    for _ in range(9):
        took_s.append(shut_outs.begin("eve", now))
        assert shut_outs.over(now) == []
        now += round(took_s[-1] / LOOK_S)
        assert shut_outs.over(now - 1) == []
        assert shut_outs.over(now) == ["eve"]
        assert shut_outs.over(now) == []
        now += LONGEST_LOOKS
    assert took_s == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0]
    assert shut_outs.begin("eve", now + 1) == FIRST_LOOKS * LOOK_S, "who was in for an hour begins anew"
    assert shut_outs.begin("anna", now) == FIRST_LOOKS * LOOK_S
