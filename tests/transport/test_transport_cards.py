"""How a mesh is found from another host: addresses, cards, and the lists of keys behind them."""

import os
import tempfile
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from hcs_mesh.transport import (
    AddressError,
    KeyFileError,
    KeyRing,
    MeshCard,
    NoCard,
    Principal,
    find_card,
    load_card,
    load_pair,
    new_pair,
    parse_address,
    save_pair,
)


@pytest.mark.parametrize("text", ["tcp://10.0.0.1:7777", "10.0.0.1:7777", " 10.0.0.1:7777 "])
def test_an_address_is_host_and_base_port(text: str) -> None:
    endpoint = parse_address(text)
    assert (endpoint.control, endpoint.data) == ("tcp://10.0.0.1:7777", "tcp://10.0.0.1:8777")


def test_an_address_of_the_newer_kind_stands_in_brackets() -> None:
    assert parse_address("[::1]:7777").control == "tcp://[::1]:7777"


@pytest.mark.parametrize("text", ["", "7777", "host", "host:", "udp://host:7777", "host:0", "host:65000", "a/b:7777"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(AddressError) as refused:
        parse_address(text)
    assert refused.value.hint


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    for _ in range(50):
        card = MeshCard(address="tcp://10.0.0.1:7777", public=new_pair().public)
        file.write_text(card.to_toml(), encoding="utf-8")
        assert load_card(file) == card
        assert find_card(str(file)) == card


@hypothesis.given(st.text(max_size=60))
def test_a_file_that_is_no_card_is_refused_as_one(text: str) -> None:
    file = Path(tempfile.gettempdir()) / f"hcs-mesh-no-card-{os.getpid()}.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(NoCard):
        load_card(file)


def test_a_card_that_is_not_there_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(NoCard) as refused:
        find_card(str(tmp_path / "mesh.toml"))
    assert "keys card" in refused.value.hint


def test_an_address_alone_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(NoCard):
        find_card("tcp://10.0.0.1:7777")
    with pytest.raises(KeyFileError):
        find_card("tcp://10.0.0.1:7777", "not a key")
    pair = new_pair()
    save_pair(tmp_path / "one.secret", pair)
    assert find_card("10.0.0.1:7777", pair.public).public == pair.public
    assert find_card("10.0.0.1:7777", str(tmp_path / "one.secret")).public == pair.public


def test_a_key_is_never_written_over_another(tmp_path: Path) -> None:
    file, pair = tmp_path / "one.secret", new_pair()
    save_pair(file, pair)
    with pytest.raises(KeyFileError):
        save_pair(file, new_pair())
    assert load_pair(file) == pair
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_is_let_in_listed_and_let_in_no_longer(tmp_path: Path) -> None:
    ring, eva, gpu = KeyRing(tmp_path), new_pair(), new_pair()
    ring.allow(Principal(name="gpu7", role="node"), gpu.public)
    ring.allow(Principal(name="eva", role="agent"), eva.public)
    assert [(one.name, one.role) for one, _ in ring.allowed()] == [("eva", "agent"), ("gpu7", "node")]
    assert ring.revoke("eva").role == "agent"
    assert ring.by_public(eva.public) is None
    assert [public for _, public in ring.allowed()] == [gpu.public]
    with pytest.raises(KeyFileError):
        ring.revoke("eva")
    with pytest.raises(KeyFileError):
        ring.revoke("../gpu7")


def test_the_name_of_a_nodes_key_has_no_at_sign_which_parts_it_from_its_actors(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    with pytest.raises(KeyFileError, match="'gpu7@lab' is no name for the key of a node"):
        ring.allow(Principal(name="gpu7@lab", role="node"), new_pair().public)
    assert ring.allowed() == ()
    ring.allow(Principal(name="eva@lab", role="user"), new_pair().public)
