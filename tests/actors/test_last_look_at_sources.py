"""What changed since it was read is never certified: a source is looked at again before that is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from waiting import eventually

from hcs_mesh.actors.imports import last_look
from hcs_mesh.actors.imports.looks import AT_ONCE
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.holding import since_held
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.life import Life

pytestmark = pytest.mark.anyio

SETTINGS = ImportSettings(
    settle_s=0.01, pending_patience_s=0.0, first_retry_s=0.01, longest_retry_s=0.05, certify_same_disk=True
)


class Lab:
    """A plate, and imports of it that are held up once it is stored."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source, self.data = folder / "scope" / "plate", folder / "data"
        self._folder, self._monkeypatch = folder, monkeypatch
        self.node, self.lives = Node("hub"), list[Life]()
        self.repository = LocalRepository(self.data)

    @property
    def imports(self) -> Any:
        return self.node.find("imports")

    def make(self) -> None:
        write_plate(self.source, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=2, size_px=64))

    def image(self) -> Path:
        return min(self.source.rglob("*.TIF"))

    async def up(self, settings: ImportSettings = SETTINGS) -> None:
        prover = LocalProver(self.repository, self.data, self.data / "keys", settings)
        self.lives = [
            await self.node.start_actor("inspector", Inspector),
            await self.node.start_actor(
                "imports",
                lambda: ImportProxy(
                    self.repository,
                    self._folder / "journal",
                    settings,
                    places=ImportPlaces(self.data, settings),
                    prover=prover,
                ),
            ),
        ]

    async def down(self) -> None:
        for life in reversed(self.lives):
            await life.stop()
            await life.wait()
        self.lives.clear()

    def once_it_is_proven(self, change: Callable[[], Any]) -> None:
        """Have something happen between the proof and the plates."""
        register = self.repository.register

        def register_late(*words: Any, **options: Any) -> Any:
            change()
            return register(*words, **options)

        self._monkeypatch.setattr(self.repository, "register", register_late)

    async def hand_over(self) -> str:
        return str(
            await self.imports.ask(SubmitImport(order=ImportOrder(path=str(self.source)), key=os.urandom(4).hex()))
        )

    async def done(self, import_id: str) -> ImportStatus:
        async def looked() -> ImportStatus | None:
            status = await self.imports.ask(GetImport(import_id=import_id))
            assert status.state != "failed", status.reason
            return status if status.state == "done" else None

        return await eventually(looked, what="the end of the import")

    async def waits(self, import_id: str, reason: str) -> None:
        async def looked() -> bool:
            status = await self.imports.ask(GetImport(import_id=import_id))
            return status.state == "waiting" and reason in status.reason

        await eventually(looked, what=f"an import that waits: {reason}")


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path, monkeypatch)
    yield lab
    await lab.down()
    await lab.node.close()
    lab.repository.close()


def unmount(at: Path) -> None:
    """Take a file system away."""
    subprocess.run(["umount", str(at)], check=True)


def overwrite(path: Path, *, back: bool) -> None:
    """Write other bytes into a file, of the same number, and perhaps put its time back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        old = file.read(8)
        file.seek(before.st_size // 2)
        file.write(bytes(255 - one for one in old))
    if back:
        os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))


def grow(path: Path) -> None:
    """Write behind the end of a file."""
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    """Put another file of the same size in the place of one, with its time."""
    before, spare = path.stat(), path.parent.parent / "spare"
    spare.write_bytes(os.urandom(before.st_size))
    os.utime(spare, ns=(before.st_mtime_ns, before.st_mtime_ns))
    spare.replace(path)


CHANGES = {
    "overwritten": lambda path: overwrite(path, back=False),
    "overwritten, and its time put back": lambda path: overwrite(path, back=True),
    "grown": grow,
    "replaced": replace,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_what_changed_between_its_proof_and_its_plates_is_not_certified(
    lab: Lab, change: Callable[[Path], None]
) -> None:
    lab.make()
    path = lab.image()
    lab.once_it_is_proven(lambda: change(path))
    await lab.up()
    status = await lab.done(await lab.hand_over())
    name = path.relative_to(lab.source).as_posix()
    assert not status.certificate
    assert status.certificate_note == (
        f"not certified: 1 file has changed since it was read: {name}; "
        f"hcs-mesh import --force {lab.source} imports it again"
    )
    assert not (lab.data / "certificates").exists()


async def test_what_was_touched_linked_or_taken_away_has_not_changed(lab: Lab) -> None:
    lab.make()
    first, second = sorted(lab.source.rglob("*.TIF"))[:2]

    def touch() -> None:
        first.touch()
        first.chmod(0o600)
        first.with_name("again").hardlink_to(first)
        second.unlink()

    lab.once_it_is_proven(touch)
    await lab.up()
    status = await lab.done(await lab.hand_over())
    assert status.certificate, status.certificate_note


async def test_a_source_that_is_gone_as_a_whole_is_certified(lab: Lab) -> None:
    lab.make()
    lab.once_it_is_proven(lambda: shutil.rmtree(lab.source))
    await lab.up()
    status = await lab.done(await lab.hand_over())
    assert status.certificate, status.certificate_note


class Disk:
    """A file system that the source lies on, and that can be taken away."""

    def __init__(self, image: Path, at: Path) -> None:
        self._image, self._at = image, at

    @staticmethod
    def in_memory(at: Path) -> None:
        """Mount one that lies on no disk."""
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(at)], check=True)

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self._at)], check=True)

    def unmount(self) -> None:
        unmount(self._at)


@pytest.fixture
def disk(lab: Lab, tmp_path: Path) -> Disk:
    at, image = lab.source.parent, tmp_path / "disk.img"
    at.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    found = Disk(image, at)
    found.mount()
    return found


@pytest.mark.needs("root")
async def test_a_disk_that_is_away_when_it_is_to_be_certified_is_waited_for(lab: Lab, disk: Disk) -> None:
    lab.make()
    lab.once_it_is_proven(disk.unmount)
    await lab.up()
    import_id = await lab.hand_over()

    async def waits() -> bool:
        status = await lab.imports.ask(GetImport(import_id=import_id))
        assert status.state != "done", status.certificate_note
        return (status.state, status.phase) == ("waiting", "annotating") and "is not there" in status.reason

    await eventually(waits, what="the import to wait for the disk")
    disk.mount()
    try:
        status = await lab.done(import_id)
        assert status.certificate, status.certificate_note
    finally:
        await lab.down()
        disk.unmount()


@pytest.mark.needs("root")
async def test_a_disk_that_stays_away_keeps_no_import_for_ever_and_gets_no_certificate(
    lab: Lab, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_look, "PATIENCE_S", 0.2)
    lab.make()
    lab.once_it_is_proven(disk.unmount)
    await lab.up()
    status = await lab.done(await lab.hand_over())
    assert not status.certificate
    assert "whether the source has changed since it was read is not known: the disk of" in status.certificate_note


@pytest.mark.needs("root")
async def test_a_source_below_which_another_disk_is_mounted_is_not_certified_for_the_disk_of_its_root(lab: Lab) -> None:
    lab.make()
    below = lab.image().parent
    aside = below.rename(lab.source.parent / "aside")
    below.mkdir()
    Disk.in_memory(below)
    try:
        shutil.copytree(aside, below, dirs_exist_ok=True)
        await lab.up(msgspec.structs.replace(SETTINGS, certify_same_disk=False))
        status = await lab.done(await lab.hand_over())
    finally:
        await lab.down()
        unmount(below)
    assert not status.certificate
    assert f"lies on another disk than {lab.source}" in status.certificate_note


@pytest.mark.needs("root")
async def test_links_that_cannot_be_cleared_away_fail_no_import_that_is_stored(lab: Lab) -> None:
    lab.make()
    busy: list[Path] = []

    def keep_busy() -> None:
        # A folder in which something is mounted is not removed; an NFS server keeps names of open files so.
        (staging,) = (one for one in lab.data.rglob("import-0001") if "repository" not in one.parts)
        busy.append(staging / "busy")
        busy[0].mkdir()
        Disk.in_memory(busy[0])

    lab.once_it_is_proven(keep_busy)
    await lab.up()
    try:
        status = await lab.done(await lab.hand_over())
        assert status.certificate, status.certificate_note
        assert busy[0].is_mount()
    finally:
        unmount(busy[0])


async def test_an_import_is_never_given_the_certificate_of_one_that_a_lost_journal_knew(lab: Lab) -> None:
    lab.make()
    await lab.up()
    first = await lab.done(await lab.hand_over())
    assert first.certificate
    await lab.down()
    # As at OMERO, which tells of no imports, a journal was moved aside: nothing here knows the first any more.
    (lab.source.parents[1] / "journal").rename(lab.source.parents[1] / "damaged")
    lab._monkeypatch.setattr(LocalRepository, "import_ids", lambda self: frozenset())
    overwrite(lab.image(), back=False)
    await lab.up()
    second = await lab.done(await lab.hand_over())
    assert second.import_id != first.import_id
    assert second.certificate not in ("", first.certificate)


async def test_sources_that_are_read_again_keep_no_other_import_of_their_disk_from_its_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, checksum = threading.Event(), since_held._checksum

    def wait(*words: Any) -> str:
        assert go_on.wait(60.0)
        return checksum(*words)

    monkeypatch.setattr(since_held, "_checksum", wait)
    touched = [lab.source.with_name(f"plate{n}") for n in range(AT_ONCE)]
    lab.once_it_is_proven(lambda: [file.chmod(0o600) for one in touched for file in one.rglob("*.TIF")])
    await lab.up()
    waiting: list[str] = []
    try:
        for n, source in enumerate(touched):
            write_plate(source, Recipe(name=f"P{n}", n_rows=1, n_columns=1, n_fields=2, size_px=64))
            monkeypatch.setattr(lab, "source", source)
            waiting.append(await lab.hand_over())
            await lab.waits(waiting[-1], "its source is read again before its certificate")
        monkeypatch.setattr(lab, "source", lab.source.with_name("plate"))
        lab.make()
        assert (await lab.done(await lab.hand_over())).certificate
    finally:
        go_on.set()
    for import_id in waiting:
        assert (await lab.done(import_id)).certificate
