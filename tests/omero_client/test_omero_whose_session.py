"""In whose session the mesh acts: every case, and what each thing that happens changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates.omero.whose_session import (
    REFUSED_FOR_S,
    AwaitLogin,
    Choice,
    LoggedIn,
    Mint,
    Minted,
    MintedEnded,
    Minting,
    MintRefused,
    OwnEnded,
    SessionEvent,
    Standing,
    UseMinted,
    UseOwn,
    after,
    choose,
)

SET, NOT_SET = Minting.SET, Minting.NOT_SET
REFUSED = {"refusal": "ada is an administrator", "refused_at_s": 1000.0}


@pytest.mark.parametrize(
    ("standing", "minting", "now_s", "choice"),
    [
        (Standing(), NOT_SET, 0.0, AwaitLogin("no minter is set (omero.minter)")),
        (Standing(), SET, 0.0, Mint()),
        (Standing(own_lives=True), NOT_SET, 0.0, UseOwn()),
        (Standing(own_lives=True), SET, 0.0, UseOwn()),
        (Standing(own_lives=True, minted_lives=True), SET, 0.0, UseOwn(end_minted=True)),
        (Standing(minted_lives=True), SET, 0.0, UseMinted()),
        (Standing(minted_lives=True), NOT_SET, 0.0, UseMinted()),
        (Standing(**REFUSED), SET, 1000.0, AwaitLogin("ada is an administrator")),
        (Standing(**REFUSED), SET, 999.0 + REFUSED_FOR_S, AwaitLogin("ada is an administrator")),
        (Standing(**REFUSED), SET, 1000.0 + REFUSED_FOR_S, Mint()),
        (Standing(own_lives=True, **REFUSED), SET, 1000.0, UseOwn()),
    ],
)
def test_the_persons_own_session_comes_first_then_a_minted_one_then_the_next_login(
    standing: Standing, minting: Minting, now_s: float, choice: Choice
) -> None:
    assert choose(standing, minting, now_s=now_s) == choice


events = st.sampled_from([LoggedIn(), OwnEnded(), Minted(), MintedEnded(), MintRefused("no", 0.0)])


@given(st.lists(events), st.sampled_from(Minting))
def test_no_session_is_used_that_is_over(happened: list[SessionEvent], minting: Minting) -> None:
    standing, own, minted = Standing(), False, False
    for event in happened:
        standing = after(standing, event)
        own = {LoggedIn: True, OwnEnded: False}.get(type(event), own)
        minted = {Minted: True, MintedEnded: False, MintRefused: False}.get(type(event), minted)
    match choose(standing, minting, now_s=0.0):
        case UseOwn():
            assert own
        case UseMinted():
            assert minted
            assert not own
        case Mint() | AwaitLogin():
            assert not own
            assert not minted


def test_a_session_that_was_minted_takes_back_an_earlier_refusal() -> None:
    standing = after(Standing(**REFUSED), Minted())
    assert choose(after(standing, MintedEnded()), SET, now_s=1000.0) == Mint()
