"""Whoever wants to know that a peer is gone hears it, whatever the others do who hear it too."""

import logging

import pytest

from hcs_mesh.transport import Link

pytestmark = pytest.mark.anyio


def link() -> Link:
    return Link("peer", lambda frames, bulk: True, lambda link, envelope: None)


async def test_everybody_hears_that_a_peer_is_gone_whatever_one_of_them_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = link()
    heard: list[str] = []

    def fail(why: str) -> None:
        raise RuntimeError(f"what {why} does to it")

    peer.on_lost["first"] = heard.append
    peer.on_lost["second"] = fail
    peer.on_lost["third"] = heard.append
    with caplog.at_level(logging.ERROR):
        peer.lost("it hung up")
    assert heard == ["it hung up", "it hung up"]
    assert "what it hung up does to it" in caplog.text


async def test_who_wants_to_know_it_again_hears_it_once() -> None:
    peer = link()
    heard: list[str] = []
    for _ in range(3):
        peer.on_lost["desk"] = heard.append
    peer.lost("it hung up")
    peer.lost("it hung up again")
    assert heard == ["it hung up"]
