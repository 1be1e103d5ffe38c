"""A disk or network that fails while a source is looked at: it is tried again, as while it is copied."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.actors.imports.faults import Blame, blame
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.scanning import check_source, manifest, scan_source
from hcs_mesh.actors.imports.serving_agents import ServingAgents
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings, MeshError
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, ImportStatus, SubmitImport
from hcs_mesh.plates.errors import ImageFailing, SourceFailing
from hcs_mesh.plates.folder import DiskFolder
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.local.errors import RepositoryFailed, source_error
from hcs_mesh.plates.planning import plan
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node


class Failing:
    """A disk that fails for files of one name ending, so often as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, code: int, *, n_times: int) -> None:
        self.n_left = n_times
        self.n_failed = 0
        self._stat = os.stat

        def stat(path: Any, **how: Any) -> os.stat_result:
            # More than none: set to none while a thread is in the midst of this, it may have gone below.
            if self.n_left > 0 and str(path).lower().endswith(name):
                self.n_left -= 1
                self.n_failed += 1
                raise OSError(code, os.strerror(code), path)
            return self._stat(path, **how)

        monkeypatch.setattr(os, "stat", stat)


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    write_plate(tmp_path / "plate", Recipe(n_rows=1, n_columns=1, n_fields=1, size_px=64))
    return tmp_path / "plate"


@pytest.mark.parametrize("code", [errno.EIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN, errno.ESTALE])
def test_what_a_failing_disk_says_is_tried_again_in_every_phase(
    plate: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    planned = plan(plate)
    Failing(monkeypatch, ".tif", code, n_times=2)
    for look in (lambda: scan_source(plate), lambda: manifest(planned)):
        with pytest.raises(SourceFailing, match=os.strerror(code)) as failed:
            look()
        assert blame(failed.value) is Blame.TRANSIENT
    assert blame(source_error(OSError(code, os.strerror(code)), plate)) is Blame.TRANSIENT


@pytest.mark.parametrize("code", [errno.EACCES, errno.ELOOP])
def test_what_a_disk_refuses_is_told_at_once(plate: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    Failing(monkeypatch, ".tif", code, n_times=1)
    with pytest.raises(MeshError, match=os.strerror(code)) as failed:
        scan_source(plate)
    assert blame(failed.value) is Blame.PERMANENT


def test_who_hands_over_from_a_failing_disk_is_told_that_it_may_pass(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, "plate", errno.EIO, n_times=1)
    with pytest.raises(SourceFailing, match=os.strerror(errno.EIO)):
        check_source(str(plate))


def test_an_image_on_a_failing_disk_is_not_damaged(plate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = next(path.relative_to(plate).as_posix() for path in plate.rglob("*") if path.suffix.lower() == ".tif")
    folder, opened = DiskFolder(plate), os.open

    def refuse(path: Any, *how: Any, **named: Any) -> int:
        if str(path).endswith(Path(image).name):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return opened(path, *how, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageFailing) as failed:
        folder.tiff(image)
    assert blame(failed.value) is Blame.TRANSIENT


class Place:
    """An import proxy of a patience that no test waits out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository, self.node = LocalRepository(folder / "data"), Node("hub")
        self.imports = self.node.find("imports")

    async def start(self) -> None:
        settings = ImportSettings(
            settle_s=0.01,
            first_retry_s=0.01,
            longest_retry_s=0.1,
            max_attempts=1_000,
            pending_patience_s=600.0,
            longest_patience_s=600.0,
        )
        await self.node.start_actor("inspector", Inspector)
        self.life = await self.node.start_actor(
            "imports", lambda: ImportProxy(self.repository, self.folder / "journal", settings)
        )

    async def waits(self, plate: Path) -> str:
        """Hand over a plate of which an image is missing, which is waited for."""
        _lose_an_image(plate)
        import_id = await self.imports.ask(SubmitImport(order=ImportOrder(path=str(plate)), key=str(plate)))
        await self.until(import_id, lambda status: "has not ended" in status.reason)
        return import_id

    async def until(self, import_id: str, holds: Callable[[ImportStatus], bool]) -> ImportStatus:
        status = await self.imports.ask(GetImport(import_id=import_id))
        while not holds(status):
            status = await self.imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        return status

    async def imports_another(self) -> bool:
        """Whether the imports of other sources go on."""
        write_plate(self.folder / "other", Recipe(name="Other", n_rows=1, n_columns=1, n_fields=1, size_px=64))
        order = ImportOrder(path=str(self.folder / "other"))
        import_id = await self.imports.ask(SubmitImport(order=order, key="other"))
        return (await self.until(import_id, lambda one: one.state not in ("running", "waiting"))).state == "done"


def _lose_an_image(plate: Path) -> None:
    min(plate.rglob("*.TIF")).unlink()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    found = Place(tmp_path)
    await found.start()
    yield found
    await found.life.stop()
    await found.life.wait()
    await found.node.close()
    found.repository.close()


@pytest.mark.anyio
@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
async def test_a_source_folder_whose_disk_fails_is_waited_for_and_keeps_no_other_import(
    place: Place, plate: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    import_id = await place.waits(plate)
    disk = Failing(monkeypatch, str(plate).lower(), code, n_times=1_000_000)
    await place.until(import_id, lambda status: status.state == "waiting" and os.strerror(code) in status.reason)
    assert await place.imports_another()
    disk.n_left = 0
    await place.until(import_id, lambda status: "has not ended" in status.reason)


@pytest.mark.anyio
async def test_a_source_folder_that_is_closed_to_the_mesh_fails_its_own_import_alone(
    place: Place, plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = await place.waits(plate)
    Failing(monkeypatch, str(plate).lower(), errno.EACCES, n_times=1_000_000)
    failed = await place.until(import_id, lambda status: status.state == "failed")
    assert os.strerror(errno.EACCES) in failed.reason
    assert "retry" in failed.hint
    assert await place.imports_another()


def test_what_workstations_offer_is_refused_by_a_disk_as_all_that_is_written(tmp_path: Path) -> None:
    agents = ServingAgents(tmp_path / "gone" / "agents.json")
    with pytest.raises(RepositoryFailed, match=os.strerror(errno.ENOENT)):
        agents.remember()


@pytest.mark.anyio
async def test_an_import_outlives_a_network_that_fails_while_its_source_settles(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, node = LocalRepository(tmp_path / "data"), Node("hub")
    await node.start_actor("inspector", Inspector)
    settings = ImportSettings(settle_s=0.01, first_retry_s=0.01)
    life = await node.start_actor("imports", lambda: ImportProxy(repository, tmp_path / "journal", settings))
    imports = node.find("imports")
    try:
        disk = Failing(monkeypatch, ".tif", errno.ETIMEDOUT, n_times=3)
        import_id = await imports.ask(SubmitImport(order=ImportOrder(path=str(plate)), key="k"))
        status = await imports.ask(GetImport(import_id=import_id))
        while status.state in ("running", "waiting"):
            status = await imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
        assert (status.state, status.reason) == ("done", "")
        assert disk.n_failed == 3
        assert any(os.strerror(errno.ETIMEDOUT) in entry.note for entry in status.history)
    finally:
        await life.stop()
        await life.wait()
        await node.close()
        repository.close()
