"""Who else writes to a source's disk is looked at before each time that the source is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.actors.errors import SourceSilent
from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.local_source import LocalSource
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import GuestSettings
from hcs_mesh.messages.imports import GetImport, ImportMode, ImportOrder, SubmitImport
from hcs_mesh.plates.holding import Hold
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.repository import SourceReader
from hcs_mesh.supervisors import Node

pytestmark = pytest.mark.anyio


class NotedPlaces(ImportPlaces):
    """Places that write down for which folders their pace is asked, and when it may forget one."""

    def expect(self, source: Path) -> None:
        self.__dict__.setdefault("noted", []).append(("expect", source))
        super().expect(source)

    def paced(
        self,
        reader: SourceReader,
        source: Path | None,
        cancelled: Callable[[], bool],
        *,
        import_id: str,
        writes: bool = True,
    ) -> SourceReader:
        self.__dict__["noted"].append(("read", source))
        self.__dict__.setdefault("reading", set()).add(import_id)
        return super().paced(reader, source, cancelled, import_id=import_id, writes=writes)

    def unpaced(self, source: Path, import_id: str) -> None:
        self.__dict__["noted"].append(("forget", source))
        self.__dict__.get("reading", set()).discard(import_id)
        super().unpaced(source, import_id)


@pytest.mark.parametrize("mode", ["upload", "in-place"])
async def test_a_source_is_expected_before_it_is_read(tmp_path: Path, mode: ImportMode) -> None:
    source = tmp_path / "plate"
    source.mkdir()
    (source / "A01.bin").write_bytes(b"plane")
    repository = LocalRepository(tmp_path / "data")
    settings = ImportSettings(settle_s=0.01)
    places = NotedPlaces(tmp_path / "data", settings, GuestSettings(nice=0, io_class="none"))
    node = Node("hub")
    await node.start_actor("inspector", Inspector)
    life = await node.start_actor(
        "imports", lambda: ImportProxy(repository, tmp_path / "journal", settings, places=places)
    )
    imports = node.find("imports")
    # Of a file alone, the folder in which it lies.
    await imports.ask(SubmitImport(order=ImportOrder(path=str(source / "A01.bin"), as_files=True, mode=mode), key="1"))

    async def done() -> bool:
        return bool((await imports.ask(GetImport(import_id="import-0001"))).state == "done")

    await eventually(done, 60.0, what="the import that is done")
    noted = places.__dict__["noted"]
    assert {folder for _, folder in noted} == {source}
    asked = [what for what, _ in noted]
    read = asked.index("read")
    assert asked[:read].count("expect") == read >= 3
    # A verification in place reads the source once more.
    assert asked[read + 1 :] == (["forget", "expect"] if mode == "in-place" else ["forget"])
    assert not places.__dict__["reading"], "it is forgotten under the name by which it was read"
    await life.stop()
    await life.wait()
    await node.close()
    repository.close()


class Silent:
    """Threads at a disk that does not answer."""

    async def run(self, *_: Any, **__: Any) -> None:
        raise SourceSilent("the disk has not answered")


async def test_a_source_that_is_let_go_is_looked_at_no_more_though_its_disk_is_silent(tmp_path: Path) -> None:
    places = NotedPlaces(tmp_path / "data", ImportSettings(), GuestSettings(nice=0, io_class="none"))
    order = ImportOrder(path=str(tmp_path))
    life = ImportLife(Accepted(import_id="import-1", at_unix_s=0.0, key="", order=order, owner="anna"))
    silent: Any = Silent()
    source = LocalSource(life, threads=silent, inspection=silent, places=places)
    places.expect(tmp_path)
    with pytest.raises(SourceSilent):
        await source.release(Hold(import_id="import-1", source=str(tmp_path)))
    assert places.__dict__["noted"] == [("expect", tmp_path), ("forget", tmp_path)]
