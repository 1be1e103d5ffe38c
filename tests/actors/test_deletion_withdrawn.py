"""Whether a source is deleted is asked again when it is: the order may be days old by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.prover import LocalProver
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.inspector import Inspector
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import AwaitImport, GetImport, ImportOrder, SubmitImport
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.synthetic import Recipe, write_plate
from hcs_mesh.supervisors import Node
from hcs_mesh.supervisors.life import Life

pytestmark = pytest.mark.anyio


async def start_imports(node: Node, repository: LocalRepository, folder: Path, *, deleted: bool) -> Life:
    settings = ImportSettings(
        settle_s=0.01,
        first_retry_s=0.01,
        longest_retry_s=0.1,
        certify_same_disk=True,
        roots=(RootSettings(path=str(folder / "scope"), delete_source=deleted),),
    )
    data = folder / "data"
    return await node.start_actor(
        "imports",
        lambda: ImportProxy(
            repository,
            folder / "journal",
            settings,
            places=ImportPlaces(data, settings),
            prover=LocalProver(repository, data, data / "keys", settings),
        ),
    )


async def test_a_source_stays_once_the_administrator_forbids_it_also_for_earlier_orders(tmp_path: Path) -> None:
    source = tmp_path / "scope" / "plate"
    write_plate(source, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    files = sorted(source.rglob("*"))
    node, repository = Node("hub"), LocalRepository(tmp_path / "data")
    imports = node.find("imports")
    # Without an inspector it does not get far in this life.
    life = await start_imports(node, repository, tmp_path, deleted=True)
    order = ImportOrder(path=str(source), delete_source=True)
    import_id = await imports.ask(SubmitImport(order=order, key="k"))
    await life.stop()
    await life.wait()

    life = await start_imports(node, repository, tmp_path, deleted=False)
    inspector = await node.start_actor("inspector", Inspector)
    status = await imports.ask(GetImport(import_id=import_id))
    while status.state in ("running", "waiting"):
        status = await imports.ask(AwaitImport(import_id=import_id, revision=status.revision))
    assert (status.state, status.source_deleted, bool(status.certificate)) == ("done", False, True)
    assert f"the source stays: sources below {tmp_path / 'scope'} are not deleted" in status.history[-2].note
    assert sorted(source.rglob("*")) == files
    for one in (life, inspector):
        await one.stop()
        await one.wait()
    await node.close()
    repository.close()
