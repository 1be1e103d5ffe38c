"""Keys by the command line, on a mesh that is up: let in, what each role may do, and out again within a second."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port

from hcs_mesh.client import Client
from hcs_mesh.layout import DataLayout
from hcs_mesh.transport import (
    AskTimedOut,
    KeyRefused,
    KeyRing,
    NotPermitted,
    PeerGone,
    Principal,
    load_card,
    load_or_create_pair,
)


@pytest.fixture(scope="module")
def mesh(mesh_up: Callable[..., Any]) -> Iterator[Any]:
    with mesh_up(more_settings=f'\n[front]\ntcp_host = "127.0.0.1"\ntcp_port = {free_port()}\n') as up:
        yield up


@pytest.fixture(scope="module")
def card(mesh: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("card") / "mesh.toml"
    shown = mesh("keys", "show").value
    file.write_text(f"address = '{shown['address']}'\npublic = '{shown['public']}'\n", encoding="utf-8")
    return file


def test_a_key_that_was_allowed_dials_by_the_card(mesh: Any, card: Path, tmp_path: Path) -> None:
    made = mesh("keys", "new", "ada", "--out", tmp_path / "ada.secret").value
    elsewhere = "--mesh", card, "--key", made["file"]
    assert "refused the handshake" in mesh("status", *elsewhere).refusal
    mesh("keys", "allow", "ada", made["public"], "--role", "viewer")
    assert mesh(*elsewhere, "status").value["data"] == str(mesh.data)
    assert mesh("status", *elsewhere).value["data"] == str(mesh.data)
    assert "is not for ada (viewer)" in mesh("jobs", *elsewhere).refusal


def test_an_agent_does_what_a_user_does(mesh: Any, card: Path, tmp_path: Path) -> None:
    made = mesh("keys", "new", "scope3", "--role", "agent", "--out", tmp_path / "scope3.secret").value
    assert mesh("jobs", "--mesh", card, "--key", made["file"]).value == []
    listed = {row["name"]: row["role"] for row in mesh("keys", "list").value}
    assert (listed["scope3"], listed["owner"]) == ("agent", "administrator")


def test_a_revoked_key_is_not_heard_within_a_second(
    mesh: Any, card: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    async def last_heard_s(name: str, secret: Path) -> float:
        """When the last of its asks was answered, counted from the moment at which its file was gone."""
        file = DataLayout(mesh.data).allowed_keys / f"{name}.toml"
        gone_s = answered_s = 0.0
        async with Client.to(load_card(card), key=secret) as client:
            assert await client.jobs() == ()
            revoking = asyncio.create_task(asyncio.to_thread(mesh, "keys", "revoke", name))
            n_unheard = 0
            while n_unheard < 5 or not gone_s:
                try:
                    await asyncio.wait_for(client.jobs(), 0.3)
                    answered_s, n_unheard = time.monotonic(), 0
                except (TimeoutError, AskTimedOut, PeerGone, KeyRefused, NotPermitted):
                    n_unheard += 1
                if not gone_s and not file.exists():
                    gone_s = time.monotonic()
            assert (await revoking).code == 0
        return max(answered_s - gone_s, 0.0)

    # A computer that stands still looks at no keys: the quickest of a few counts.
    quickest_s = float("inf")
    for name in ("eve", "eva", "evi"):
        made = mesh("keys", "new", name, "--role", "user", "--out", tmp_path / f"{name}.secret").value
        elsewhere = "--mesh", card, "--key", made["file"]
        assert mesh("jobs", *elsewhere).code == 0, "a key that was just allowed is refused"
        quickest_s = min(quickest_s, asyncio.run(last_heard_s(name, Path(made["file"]))))
        assert "refused the handshake" in mesh("jobs", *elsewhere).refusal
        if quickest_s < 1.0:
            break
    assert quickest_s < 1.0
    tell(f"keys: a revoked key was heard for {quickest_s:.2f} s after its file was gone")


def test_commands_about_this_host_refuse_a_mesh_elsewhere(mesh: Any, card: Path) -> None:
    assert "is about this host" in mesh("down", "--mesh", card).refusal
    assert mesh("status").code == 0


def test_the_owner_is_not_locked_out(mesh: Any) -> None:
    assert "owner" in mesh("keys", "revoke", "owner").refusal
    assert "no key of the name" in mesh("keys", "revoke", "nobody").refusal


def test_one_damaged_key_file_keeps_no_mesh_from_starting_and_is_told(
    mesh_up: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("damaged") / "data"
    layout = DataLayout(data)
    anna = load_or_create_pair(data / "anna.secret")
    KeyRing(layout.allowed_keys).allow(Principal(name="anna", role="user"), anna.public)
    broken = layout.allowed_keys / "bert.toml"
    bert = load_or_create_pair(data / "bert.secret")
    broken.write_text(f"name = 'bert'\nrole = 'king'\npublic = '{bert.public}'\n", encoding="utf-8")
    with mesh_up(data) as up:
        assert up("jobs", "--key", data / "anna.secret").value == []
        assert "refused the handshake" in up("jobs", "--key", data / "bert.secret").refusal
        assert str(broken) in up("keys", "list").refusal
        (found,) = [one for one in json.loads(up("doctor").out) if one["name"] == "keys"]
        assert found["state"] == "missing"
        assert str(broken) in found["detail"]
        log = "".join(path.read_text(encoding="utf-8") for path in layout.logs.glob("*.log"))
        assert "a file among the allowed keys lets nobody in" in log
        assert str(broken) in log
        broken.unlink()
        assert [row["name"] for row in up("keys", "list").value] == ["anna", "owner"]
