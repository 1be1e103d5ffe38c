"""Which keys are shut out because nothing can be heard over the connections that they make."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st

from hcs_mesh.transport.unheard import LOOKS, MOST_UNHEARD, PATIENCE_LOOKS, Unheard


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
