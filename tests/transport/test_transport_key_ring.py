"""What a key ring notices of its folder, and what it makes of files that cannot be read."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    load_or_create_pair,
    load_pair,
    new_pair,
    save_pair,
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


def test_of_keys_that_are_made_under_one_name_at_once_one_counts_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_are_written = threading.Barrier(2, timeout=20.0)
    link = Path.hardlink_to

    def hardlink_to(path: Path, made: Path) -> None:
        both_are_written.wait()
        link(path, made)

    monkeypatch.setattr(Path, "hardlink_to", hardlink_to)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: load_or_create_pair(tmp_path / "mesh.secret"), range(2))
        assert first == second == load_pair(tmp_path / "mesh.secret")
        pairs = [new_pair() for _ in range(2)]
        saved = list(threads.map(lambda pair: save_or_say(tmp_path / "eva.secret", pair), pairs))
    assert load_pair(tmp_path / "eva.secret") == pairs[saved.index("")]
    assert sorted(saved) == ["", f"{tmp_path / 'eva.secret'} exists already"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eva.secret", "mesh.secret"]


def save_or_say(path: Path, pair: KeyPair) -> str:
    """Save a key, and return what was wrong with that."""
    try:
        save_pair(path, pair)
    except KeyFileError as error:
        return str(error)
    return ""


def test_a_key_is_saved_on_a_disk_without_second_names_too_and_never_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, made: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    pair = new_pair()
    save_pair(tmp_path / "eva.secret", pair)
    with pytest.raises(KeyFileError, match="exists already"):
        save_pair(tmp_path / "eva.secret", new_pair())
    assert load_pair(tmp_path / "eva.secret") == pair


def test_a_key_that_is_revoked_or_let_in_is_so_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, ...]] = []
    fsync = os.fsync

    def names_on_disk(descriptor: int) -> None:
        fsync(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append(tuple(sorted(os.listdir(descriptor))))

    monkeypatch.setattr(os, "fsync", names_on_disk)
    let_in(tmp_path, "anna")
    assert synced[-1] == ("anna.toml",)
    KeyRing(tmp_path).revoke("anna")
    assert synced[-1] == ()


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


def test_a_name_is_free_if_the_ring_found_no_file_of_it_and_there_is_none_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = let_in(tmp_path, "anna")
    with monkeypatch.context() as for_once:
        for_once.setattr(Path, "read_text", raise_no_descriptors)
        ring = KeyRing(tmp_path, lenient=True)
    assert ring.by_public(anna) is None
    bert = let_in(tmp_path, "bert")
    # What it found it replaces, whether it could be read or not; what has come since it does not.
    public = new_pair().public
    with pytest.raises(KeyFileError, match="bert has just been taken"):
        ring.allow(Principal(name="bert", role="user"), public)
    ring.allow(Principal(name="anna", role="viewer"), public)
    assert [one for _, one in KeyRing(tmp_path).allowed()] == [public, bert]


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
