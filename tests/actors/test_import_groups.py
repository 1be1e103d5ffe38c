"""The group that an import is for: its owner's at OMERO, and none where there is no OMERO."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.outline import outline_of
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Accepted
from hcs_mesh.config import ImportSettings
from hcs_mesh.messages.imports import ImportOrder, ListImports, PreviewImport, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed, Ref

pytestmark = pytest.mark.anyio


@pytest.fixture
async def imports(tmp_path: Path) -> AsyncIterator[Ref]:
    repository, node = LocalRepository(tmp_path / "data"), Node("hub")
    life = await node.start_actor("imports", lambda: ImportProxy(repository, tmp_path / "journal", ImportSettings()))
    yield node.find("imports")
    await life.stop()
    await life.wait()
    await node.close()
    repository.close()


async def test_a_repository_is_told_for_which_group_an_import_is() -> None:
    order = ImportOrder(path="/data/plate", group="screening")
    life = ImportLife(Accepted(import_id="import-0001", at_unix_s=0.0, key="k", order=order, owner="ada"))
    assert (outline_of(life).owner, outline_of(life).group) == ("ada", "screening")


async def test_where_there_are_no_groups_an_order_for_one_is_refused(imports: Ref, tmp_path: Path) -> None:
    order = ImportOrder(path=str(tmp_path), group="screening")
    for request in (SubmitImport(order=order, key="k"), PreviewImport(order=order)):
        with pytest.raises(AskFailed, match="for the group screening, and there are no groups without OMERO"):
            await imports.ask(request)
    assert await imports.ask(ListImports()) == ()
