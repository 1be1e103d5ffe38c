"""What a key ring notices of its folder, and what it makes of files that cannot be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import zmq

from hcs_mesh.supervisors import Actor, Node
from hcs_mesh.transport import (
    Dialer,
    KeyFileError,
    KeyPair,
    KeyRefused,
    KeyRing,
    Principal,
    Request,
    Role,
    ServerKey,
    ipc_endpoint,
    new_pair,
)

NO_DESCRIPTORS = OSError(errno.EMFILE, "Too many open files")
SERVER = new_pair()


def let_in(folder: Path, name: str) -> str:
    public = new_pair().public
    KeyRing(folder).allow(Principal(name=name, role="user"), public)
    return public


def test_a_key_that_takes_the_place_of_another_is_known_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    old = let_in(tmp_path, "anna")
    file = tmp_path / "anna.toml"
    ring = KeyRing(tmp_path)
    before = file.stat()
    new = let_in(tmp_path, "anna")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    ring.refresh()
    assert ring.by_public(old) is None
    assert ring.by_public(new) == Principal(name="anna", role="user")


def test_a_key_that_could_not_be_read_once_is_read_again_though_nothing_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = KeyRing(tmp_path, lenient=True)
    public = let_in(tmp_path, "anna")
    with monkeypatch.context() as for_once:
        for_once.setattr(Path, "read_text", raise_no_descriptors)
        (wrong,) = ring.refresh()
        assert "Too many open files" in str(wrong)
        assert ring.by_public(public) is None
        assert ring.refresh() == (), "what was told is not told again"
    ring.refresh()
    assert ring.by_public(public) == Principal(name="anna", role="user")
    assert ring.wrong == ()


def test_who_was_known_is_known_while_his_unchanged_file_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = let_in(tmp_path, "anna")
    ring = KeyRing(tmp_path, lenient=True)
    with monkeypatch.context() as for_once:
        for_once.setattr(Path, "read_text", raise_no_descriptors)
        ring.reload()
        assert ring.by_public(anna) == Principal(name="anna", role="user")
        # What stands in its place now, unread, may be another key: the former is let in no longer.
        (tmp_path / "anna.toml").write_bytes(b"# another")
        ring.reload()
        assert ring.by_public(anna) is None


def test_every_file_that_is_no_key_is_told_and_the_others_hold(tmp_path: Path) -> None:
    public = let_in(tmp_path, "anna")
    (tmp_path / "a.toml").write_text("not = [a key")
    (tmp_path / "b.toml").mkdir()
    (tmp_path / "c.toml").symlink_to("c.toml")
    (tmp_path / "d.toml").symlink_to("gone")
    (tmp_path / "e.toml").write_bytes(b"\xff\xfe")
    ring = KeyRing(tmp_path, lenient=True)
    assert [Path(str(error).split(".toml")[0]).name[-1] for error in ring.wrong] == ["a", "b", "c", "e"]
    assert ring.by_public(public) is not None
    with pytest.raises(KeyFileError, match=r"a\.toml"):
        KeyRing(tmp_path)


def raise_no_descriptors(*_: Any, **__: Any) -> Iterator[Path]:
    raise NO_DESCRIPTORS


class WhoAmI(Request[str], frozen=True, kw_only=True, tag="ring.who"):
    audience: ClassVar[Role | None] = "viewer"


class Desk(Actor[WhoAmI]):
    """Says who is speaking."""

    async def receive(self, message: WhoAmI) -> str:
        return self.context.principal.name


@pytest.mark.anyio
async def test_strangers_who_come_while_the_folder_cannot_be_read_keep_nobody_out_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ring = KeyRing(tmp_path / "keys")
    node, context = Node("hub"), zmq.Context[Any]()
    endpoint = ipc_endpoint(tmp_path, "front")
    node.listen_front(endpoint, SERVER, ring)
    life = await node.start_actor("desk", Desk)
    dialers: list[Dialer] = []

    async def name(key: KeyPair) -> str:
        server = ServerKey(public=SERVER.public)
        dialers.append(Dialer(context, endpoint, lambda link, envelope: None, name="one", key=key, server=server))
        return await dialers[-1].link.ask("desk", WhoAmI(), timeout_s=10.0)

    with monkeypatch.context() as for_a_while:
        for_a_while.setattr(Path, "iterdir", raise_no_descriptors)
        with pytest.raises(KeyRefused):
            await name(new_pair())
        with pytest.raises(KeyRefused):
            await name(new_pair())
    anna = new_pair()
    KeyRing(tmp_path / "keys").allow(Principal(name="anna", role="user"), anna.public)
    assert await name(anna) == "anna"
    told = [record for record in caplog.records if "cannot look at the keys" in record.getMessage()]
    assert len(told) == 1
    for dialer in dialers:
        dialer.close()
    context.destroy(linger=0)
    await life.stop()
    await life.wait()
    await node.close()
