"""Meshes that import from one share hold there apart, also where their data folders have one path on their hosts."""

import errno
import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.plates.holding import (
    HeldReader,
    Hold,
    StagingFailed,
    StagingNotOurs,
    Swept,
    choose_staging,
    hold,
    homes_of,
    let_go,
    own_name,
    release,
    staging_of,
    sweep,
)
from hcs_mesh.plates.holding.own_name import RECORD
from hcs_mesh.plates.holding.staging import MARK
from hcs_mesh.plates.repository import SourceFile
from hcs_mesh.plates.served_folders import NotServed, ServedFolder, ServedFolders
from hcs_mesh.plates.source_names import HELD_FOLDER

IMPORT = "import-0001"


class Hosts:
    """Hosts with one share, whose data folders have one path: that of the host which is looked at is there."""

    def __init__(self, folder: Path) -> None:
        self.share = folder / "share"
        self.share.mkdir()
        self.data = folder / "data"
        self._folder = folder

    @contextmanager
    def on(self, host: str) -> Iterator[None]:
        asleep = self._folder / f"data of {host}"
        if asleep.exists():
            asleep.rename(self.data)
        yield
        self.data.rename(asleep)

    def plate(self, name: str, content: bytes) -> Path:
        source = self.share / name
        (source / "day 1").mkdir(parents=True)
        (source / "index.xml").write_bytes(content)
        (source / "day 1" / "A01.tif").write_bytes(content)
        return source

    def held(self, source: Path) -> Hold:
        staging = choose_staging(source, data=self.data, root=self.share)
        assert staging.folder is not None, staging.reason
        return hold(settled(source), source, staging.folder, IMPORT)

    def homes(self) -> tuple[Path, ...]:
        return homes_of(self.data, (self.share / HELD_FOLDER, self.data / HELD_FOLDER))

    def earlier_home(self, above: Path) -> Path:
        """The folder that an earlier version has made there."""
        home = above / HELD_FOLDER / hashlib.sha1(os.fsencode(self.data)).hexdigest()[:12]
        home.mkdir(mode=0o700, parents=True)
        home.parent.chmod(0o700)
        (home / MARK).write_text(f"Links to sources that the mesh of {self.data} imports.\n")
        return home


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def settled(source: Path) -> list[SourceFile]:
    return [
        SourceFile(path=str(path.relative_to(source)), size=s.st_size, mtime_ns=s.st_mtime_ns, inode=s.st_ino)
        for path in sorted(source.rglob("*"))
        if path.is_file() and (s := path.stat())
    ]


def contents(held: Hold) -> set[bytes]:
    found = set()
    for file in held.files:
        with closing(HeldReader(held).open(file.path)) as opened:
            buffer = bytearray(opened.look().size)
            assert opened.read_into(memoryview(buffer)) == len(buffer)
            found.add(bytes(buffer))
    return found


def swept(hosts: Hosts, _: Hold) -> None:
    assert [sweep(home, (IMPORT,), data=hosts.data) for home in hosts.homes()].count(Swept((IMPORT,))) == 1


def released(hosts: Hosts, held: Hold) -> None:
    release(held, data=hosts.data)


@pytest.mark.parametrize("ended", [swept, released])
def test_a_mesh_that_ends_an_import_leaves_the_links_of_one_on_another_host_that_has_its_number(
    hosts: Hosts, ended: Callable[[Hosts, Hold], None]
) -> None:
    plates = {host: hosts.plate(host, host.encode() * 999) for host in ("one", "two")}
    held = {}
    for host, source in plates.items():
        with hosts.on(host):
            held[host] = hosts.held(source)
        shutil.rmtree(source)
    # Files of one name: neither has taken the place of the other's.
    assert [contents(held[host]) for host in plates] == [{b"one" * 999}, {b"two" * 999}]
    with hosts.on("two"):
        ended(hosts, held["two"])
    assert not Path(held["two"].staging).exists()
    assert contents(held["one"]) == {b"one" * 999}


def test_a_mesh_that_is_started_again_finds_what_it_has_held(hosts: Hosts) -> None:
    source = hosts.plate("plate", b"plate" * 999)
    with hosts.on("one"):
        first = hosts.held(source)
    shutil.rmtree(source / "day 1")
    with hosts.on("one"):
        staging = choose_staging(source, data=hosts.data, root=hosts.share).folder
        files = [SourceFile(path=f.path, size=f.size, mtime_ns=f.mtime_ns, inode=f.origin) for f in first.files]
        again = hold(files, source, staging, IMPORT)
        assert again.staging == first.staging
        assert contents(again) == {b"plate" * 999}
        release(again, data=hosts.data)
    assert not Path(first.staging).exists()


def test_a_copy_of_a_data_folder_takes_nothing_away_from_its_original(hosts: Hosts) -> None:
    source = hosts.plate("plate", b"plate" * 999)
    held = hosts.held(source)
    shutil.rmtree(source)
    original = hosts.data.rename(hosts.data.with_name("original"))
    shutil.copytree(original, hosts.data)
    assert contents(held) == {b"plate" * 999}
    with pytest.raises(StagingNotOurs, match="was copied since they were made, and the original may read them"):
        release(held, data=hosts.data)
    assert let_go(held, data=hosts.data) == held
    assert [sweep(home, (IMPORT,), data=hosts.data) for home in hosts.homes()] == [Swept()] * 4
    other = hosts.plate("other", b"other" * 999)
    anew = hosts.held(other)
    assert Path(anew.staging).parent != Path(held.staging).parent
    release(anew, data=hosts.data)
    assert contents(held) == {b"plate" * 999}
    # Nor where it has a random number of its own, as it is to have where even the inodes were copied.
    shutil.rmtree((hosts.data / RECORD).parent)
    with pytest.raises(StagingNotOurs, match="the original may read them"):
        release(held, data=hosts.data)
    # The original itself is as it was.
    release(held, data=original)
    assert not Path(held.staging).exists()


def test_an_agent_reads_what_the_original_of_its_data_folder_has_held_and_leaves_it(hosts: Hosts) -> None:
    source = hosts.plate("plate", b"plate" * 999)
    folders = ServedFolders([ServedFolder(name="share", path=str(hosts.share))])
    original, copy = hosts.data, hosts.data.with_name("copy")
    held = ServedSource(folders, original).hold(IMPORT, str(source), settled(source))
    shutil.copytree(original, copy)
    shutil.rmtree(source)
    served = ServedSource(folders, copy)
    (file, _) = held.files
    served.open(IMPORT, held.source, file.path, held.staging, file).close()
    served.release(held)
    assert contents(held) == {b"plate" * 999}
    # Of any other mesh's it knows nothing.
    with pytest.raises(NotServed, match="is no folder in which this agent holds files"):
        ServedSource(folders, copy.with_name("another")).release(held)
    ServedSource(folders, original).release(held)
    assert not Path(held.staging).exists()


def test_what_an_earlier_version_has_held_is_read_and_released(hosts: Hosts) -> None:
    source = hosts.plate("plate", b"plate" * 999)
    home = hosts.earlier_home(hosts.share)
    held = hold(settled(source), source, home, IMPORT)
    assert home in hosts.homes()
    shutil.rmtree(source)
    assert contents(held) == {b"plate" * 999}
    release(held, data=hosts.data)
    release(held, data=hosts.data)
    assert [path.name for path in home.iterdir()] == [MARK]


def test_of_what_an_earlier_version_has_held_the_links_of_another_mesh_stay(hosts: Hosts) -> None:
    home = hosts.earlier_home(hosts.share)
    theirs, ours = hosts.plate("theirs", b"theirs" * 999), hosts.plate("ours", b"ours" * 999)
    (theirs / "index.xml").rename(theirs / "of theirs.xml")
    (theirs / "day 1" / "A01.tif").rename(theirs / "day 1" / "of theirs.tif")
    held = {source: hold(settled(source), source, home, IMPORT) for source in (theirs, ours)}
    shutil.rmtree(theirs)
    with pytest.raises(StagingNotOurs, match="other links lie there than were made for the import"):
        release(held[ours], data=hosts.data)
    assert contents(held[theirs]) == {b"theirs" * 999}
    assert len([path for path in home.rglob("*") if path.is_file()]) == len([MARK, *held[theirs].files])


def test_what_an_earlier_version_has_made_on_a_share_is_named_and_not_swept(hosts: Hosts) -> None:
    source = hosts.plate("plate", b"plate" * 999)
    home = hosts.earlier_home(hosts.share)
    held = hold(settled(source), source, home, IMPORT)
    with pytest.raises(StagingNotOurs, match=f"{home} links stay of {IMPORT}: an earlier version has made it"):
        sweep(home, (IMPORT, "import-0002"), data=hosts.data)
    assert sweep(home, ("import-0002",), data=hosts.data) == Swept((), (IMPORT,))
    assert contents(held) == {b"plate" * 999}


def test_what_an_earlier_version_has_made_in_the_data_folder_is_swept(hosts: Hosts) -> None:
    source = hosts.plate("plate", b"plate" * 999)
    home = hosts.earlier_home(hosts.data)
    hold(settled(source), source, home, IMPORT)
    assert home in hosts.homes()
    assert sweep(home, (IMPORT,), data=hosts.data) == Swept((IMPORT,))


def test_who_makes_the_name_at_once_has_one(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    random, both_make_one = secrets.token_hex, threading.Barrier(2, timeout=20.0)

    def token(n_bytes: int) -> str:
        both_make_one.wait()
        return random(n_bytes)

    monkeypatch.setattr(secrets, "token_hex", token)
    with ThreadPoolExecutor(2) as threads:
        one, two = threads.map(lambda _: staging_of(hosts.data, hosts.share), range(2))
    assert one == two
    assert [path.name for path in hosts.data.iterdir()] == ["held-as"]


def test_a_full_disk_under_the_data_folder_is_why_nothing_is_linked(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = hosts.plate("plate", b"plate" * 999)

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(own_name, "sync_file", full)
        chosen = choose_staging(source, data=hosts.data, root=hosts.share)
    assert chosen.folder is None
    assert f"{hosts.data / RECORD} cannot be written: No space left on device" in chosen.reason
    assert list(hosts.data.iterdir()) == []
    assert not (hosts.share / HELD_FOLDER).exists()
    # Once there is room it is as if nothing had been.
    assert hosts.held(source).staging


@pytest.mark.parametrize("damage", ["", "../..", "plate"])
def test_a_damaged_name_is_told_and_not_gone_by(hosts: Hosts, damage: str) -> None:
    source = hosts.plate("plate", b"plate" * 999)
    held = hosts.held(source)
    (hosts.data / RECORD).write_text(damage)
    chosen = choose_staging(source, data=hosts.data, root=hosts.share)
    assert chosen.folder is None
    assert f"{hosts.data / RECORD} is not what the mesh has written" in chosen.reason
    for ask in (hosts.homes, lambda: release(held, data=hosts.data)):
        with pytest.raises(StagingFailed, match="is not what the mesh has written"):
            ask()
    assert contents(held) == {b"plate" * 999}
