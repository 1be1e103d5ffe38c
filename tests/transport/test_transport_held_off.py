"""Who is refused for a while is told so, and whoever stays connected is let in again without being asked."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import eventually

sys.path.append(str(Path(__file__).parents[1] / "system"))

from open_port import Count, OpenPort, open_port

from hcs_mesh.transport import Dialer, HeldOff, KeyPair, KeyRefused, PeerGone, Principal, dialer, new_pair
from hcs_mesh.transport.unheard import Unheard

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialer, "AGAIN_S", 0.2)


@contextmanager
def held_off(port: OpenPort, key: KeyPair) -> Iterator[None]:
    """As many handshakes under a key as may be, behind which nothing was heard."""
    assert port.node._authenticator is not None
    unheard: Unheard = port.node._authenticator.unheard
    n = 0
    while unheard.add(key.public):
        n += 1
    yield
    for _ in range(n):
        unheard.heard(key.public)


async def answers(one: Dialer) -> bool:
    try:
        return await one.link.ask("counter", Count(), timeout_s=20.0) == 0
    except (PeerGone, KeyRefused):
        return False


async def is_hung_up_on(one: Dialer) -> bool:
    try:
        await one.link.ask("counter", Count(), timeout_s=20.0)
    except PeerGone as error:
        return "handshakes in a row" in str(error)
    return False


async def test_who_is_held_off_is_told_that_it_is_for_a_while_and_comes_in_by_the_same_dialer(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        anna = port.key("anna")
        with held_off(port, anna):
            one = port.dial("anna", anna)
            with pytest.raises(HeldOff, match="for a while"):
                await one.link.ask("counter", Count(), timeout_s=20.0)
            # Again and again: each of its handshakes is refused.
            with pytest.raises(HeldOff):
                await one.link.ask("counter", Count(), timeout_s=20.0)
        await eventually(lambda: answers(one), 20.0, "an answer")
        one.close()


async def test_who_is_shut_out_while_connected_comes_in_again_by_the_same_dialer(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        anna = port.key("anna")
        one = port.dial("anna", anna)
        assert await answers(one)
        port.ring.shut_out(anna.public)
        with pytest.raises(PeerGone):
            await one.link.ask("counter", Count(), timeout_s=20.0)
        with pytest.raises(HeldOff):
            await one.link.ask("counter", Count(), timeout_s=20.0)
        port.ring.let_in_again(anna.public)
        await eventually(lambda: answers(one), 20.0, "an answer")
        one.close()


async def test_who_is_hung_up_on_over_the_data_channel_is_so_over_the_other_too(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        anna = port.key("anna")
        one = port.dial("anna", anna)
        assert await answers(one)
        newcomers = port.node._newcomers
        assert newcomers is not None
        await eventually(lambda: one._n_data_connections and not len(newcomers), 20.0, "its word over both channels")
        port.ring.shut_out(anna.public)
        n_offences = port.listener.offences.n
        one._introduce_data()
        await eventually(lambda: port.listener.offences.n > n_offences, 20.0, "the end of its data connection")
        with pytest.raises(PeerGone):
            await one.link.ask("counter", Count(), timeout_s=20.0)
        port.ring.let_in_again(anna.public)
        await eventually(lambda: answers(one), 20.0, "an answer")
        one.close()


async def test_who_is_on_no_list_is_refused_for_good_until_somebody_allows_the_key(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        stranger = new_pair()
        one = port.dial("stranger", stranger)
        with pytest.raises(KeyRefused, match="do not match"):
            await one.link.ask("counter", Count(), timeout_s=20.0)
        port.ring.allow(Principal(name="late", role="user"), stranger.public)
        await eventually(lambda: answers(one), 20.0, "an answer")
        one.close()


async def test_a_data_channel_that_is_refused_alone_is_told_and_dialled_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_port(tmp_path) as port:
        anna = port.key("anna")
        one = port.dial("anna", anna)
        assert port.node._authenticator is not None
        unheard = port.node._authenticator.unheard
        await eventually(lambda: one.connected and one._n_data_connections == 1, 20.0, "its connections")
        # A word that is heard later would leave room for one handshake more.
        await eventually(lambda: anna.public not in unheard._waiting, 20.0, "the first words over both")
        with held_off(port, anna):
            _, data = one._sockets
            data.disconnect(one.endpoint.data)
            data.connect(one.endpoint.data)
            await eventually(lambda: "data channel was refused alone" in caplog.text, 20.0, "a line in the log")
            assert await answers(one), "its control channel is as it was"
        await eventually(lambda: one._n_data_connections == 2, 20.0, "its data connection")
        newcomers = port.node._newcomers
        assert newcomers is not None
        await eventually(lambda: not len(newcomers), 20.0, "the first word over it")
        assert await answers(one)
        one.close()


async def test_who_finds_no_descriptor_left_is_not_told_that_his_key_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    async with open_port(tmp_path) as port:
        newcomers = port.node._newcomers
        assert newcomers is not None
        before = port.dial("before")
        assert await answers(before)
        # As if all of them were taken: each connection more is hung up on at once.
        newcomers.most_descriptors, most = 0, newcomers.most_descriptors
        one = port.dial("anna")
        with pytest.raises(KeyRefused, match="or it has no room") as refused:
            await one.link.ask("counter", Count(), timeout_s=20.0)
        assert "ulimit -n" in refused.value.hint
        for socket, address in zip(before._sockets, (before.endpoint.control, before.endpoint.data), strict=True):
            socket.disconnect(address)
            socket.connect(address)
        await eventually(lambda: is_hung_up_on(before), 20.0, "its handshakes end without a word")
        newcomers.most_descriptors = most
        await eventually(lambda: answers(before), 20.0, "an answer")
        await eventually(lambda: answers(one), 20.0, "an answer")
        one.close()
        before.close()
