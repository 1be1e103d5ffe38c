"""What a source on this host tells before its owner is known to be allowed to read it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.local_source import LocalSource
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.records import Accepted
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.access import PathNotAllowed


class Here:
    """Threads and inspector at once: the first work at once, the second counts its questions."""

    def __init__(self) -> None:
        self.n_planned = 0

    async def run(self, work: Any, **_: Any) -> Any:
        return work()

    async def plan(self, *_: Any) -> None:
        self.n_planned += 1


@pytest.mark.parametrize(("depth", "exclude", "planned"), [(0, (), False), (1, (), True), (0, ("z/*",), True)])
def test_nothing_is_planned_that_leads_to_what_may_not_be_read(
    tmp_path: Path, depth: int, exclude: tuple[str, ...], planned: bool
) -> None:
    plate = tmp_path / "roots" / "plate"
    (plate / "z").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (plate / "A01.tif").write_bytes(b"plane")
    (plate / "nowhere").symlink_to(plate / "gone")
    (plate / "z" / "index.xml").symlink_to(tmp_path / "secret")
    settings = ImportSettings(accounts="off", roots=(RootSettings(path=str(plate.parent)),))
    order = ImportOrder(path=str(plate), depth=depth, exclude=exclude)
    life = ImportLife(Accepted(import_id="import-1", at_unix_s=0.0, key="", order=order, owner="anna"))
    here: Any = Here()
    source = LocalSource(life, threads=here, inspection=here, places=ImportPlaces(tmp_path, settings))
    if planned:
        asyncio.run(source.plan(print))
    else:
        with pytest.raises(PathNotAllowed, match="a link leads out"):
            asyncio.run(source.plan(print))
        with pytest.raises(PathNotAllowed):
            asyncio.run(source.scan())
    assert here.n_planned == planned
