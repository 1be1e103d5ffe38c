"""What a source on this host tells before its owner is known to be allowed to read it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.local_source import LocalSource
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.records import Accepted
from hcs_mesh.actors.inspector import _plan, _probe
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import Accounts, RootSettings
from hcs_mesh.messages.imports import ImportOrder, PlanSource, ProbePlane, ProbePlanes
from hcs_mesh.plates.access import PathNotAllowed, account_named
from hcs_mesh.plates.errors import SourceUnreadable, UnreadableImage
from hcs_mesh.plates.planners import Plan
from hcs_mesh.plates.reach import Reach
from hcs_mesh.plates.served_folders import ServedFolders, served_folder


class Here:
    """Threads and inspector at once: the first work at once, the second counts its questions."""

    def __init__(self) -> None:
        self.n_planned = 0
        self.reaches: list[Reach] = []

    async def run(self, work: Any, **_: Any) -> Any:
        return work()

    async def plan(self, question: PlanSource, *_: Any, **__: Any) -> None:
        self.n_planned += 1
        self.reaches.append(question.reach)

    async def probe(self, *_: Any, reach: Reach, **__: Any) -> None:
        self.reaches.append(reach)


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
    source = LocalSource(life, threads=here, inspection=here, places=ImportPlaces(tmp_path / "data", settings))
    if planned:
        asyncio.run(source.plan(print))
    else:
        with pytest.raises(PathNotAllowed, match="a link leads out"):
            asyncio.run(source.plan(print))
        with pytest.raises(PathNotAllowed):
            asyncio.run(source.scan())
    assert here.n_planned == planned


@pytest.mark.parametrize(("accounts", "counts"), [("same-name", True), ("off", False)])
def test_the_inspector_opens_for_the_owner_alone(tmp_path: Path, accounts: Accounts, counts: bool) -> None:
    roots = tmp_path / "roots"
    roots.mkdir()
    (tmp_path / "link").symlink_to(roots)
    settings = ImportSettings(accounts=accounts, roots=(RootSettings(path=str(tmp_path / "link")),))
    life = ImportLife(
        Accepted(import_id="import-1", at_unix_s=0.0, key="", order=ImportOrder(path=str(roots)), owner="nobody")
    )
    here: Any = Here()
    source = LocalSource(life, threads=here, inspection=here, places=ImportPlaces(tmp_path / "data", settings))
    asyncio.run(source.plan(print))
    asyncio.run(source.probe(Plan(filesets=(), root=str(roots)), print))
    reach = Reach(
        account=account_named("nobody") if counts else None, inside=(str(roots),), closed=(str(tmp_path / "data"),)
    )
    assert here.reaches == [reach, reach]


def test_the_inspector_keeps_to_what_it_is_asked_for(tmp_path: Path) -> None:
    roots = tmp_path / "roots"
    roots.mkdir()
    tifffile.imwrite(tmp_path / "secret.tif", np.zeros((6, 8), np.uint8))
    (roots / "A01.tif").symlink_to(tmp_path / "secret.tif")
    served = ServedFolders([served_folder(str(roots))])
    plane = ProbePlane(root=str(roots), file="A01.tif", page=0, height=6, width=8, dtype="uint8", follow_links=True)
    assert _probe(ProbePlanes(planes=(plane,)))[0].width == 8
    with pytest.raises(UnreadableImage, match="leads out of the folders"):
        _probe(ProbePlanes(planes=(plane,), reach=served.reach))
    assert _plan(PlanSource(path=str(tmp_path / "secret.tif"))).n_files == 1
    with pytest.raises(SourceUnreadable, match="leads out of the folders"):
        _plan(PlanSource(path=str(tmp_path / "secret.tif"), reach=served.reach))
