"""Imports of other people: who is told of them where plates are private, and who where they are not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hcs_mesh.actors.imports.book import EndedImport
from hcs_mesh.actors.imports.places import ImportPlaces
from hcs_mesh.actors.imports.proxy import ImportProxy
from hcs_mesh.actors.imports.records import Summary
from hcs_mesh.config import ImportSettings
from hcs_mesh.config.import_settings import RootSettings
from hcs_mesh.messages.imports import (
    AwaitImport,
    CancelImport,
    ForgetImport,
    GetImport,
    ImportOrder,
    ImportStatus,
    ListImports,
    RetryImport,
    SubmitImport,
)
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.supervisors import Node
from hcs_mesh.transport import AskFailed, Dialer, KeyRing, Link, Principal, ServerKey, ipc_endpoint, new_pair
from hcs_mesh.transport.messages import Role

pytestmark = pytest.mark.anyio

MESH = new_pair()
PEOPLE: dict[str, Role] = {"ada": "user", "grace": "user", "pc3": "agent", "chief": "administrator"}


class House:
    """An import proxy, and people who ask it by keys of their own."""

    def __init__(self, folder: Path, links: dict[str, Link]) -> None:
        self.source = folder / "source"
        self._links = links

    async def ask(self, name: str, request: Any) -> Any:
        return await self._links[name].ask("imports", request, timeout_s=60.0)

    async def refused(self, name: str, request: Any) -> str:
        """What somebody is told instead of an answer."""
        with pytest.raises(AskFailed) as found:
            await self.ask(name, request)
        return f"{found.value} {found.value.hint}"

    async def import_of_ada(self, key: str = "k") -> str:
        """One that a workstation has handed over for her; it waits, for there is nothing yet."""
        order = SubmitImport(order=ImportOrder(path=str(self.source)), key=key, on_behalf_of="ada")
        return str(await self.ask("pc3", order))


@asynccontextmanager
async def house(folder: Path, *, is_private: bool) -> AsyncIterator[House]:
    (folder / "source").mkdir(exist_ok=True)
    repository, node = LocalRepository(folder / "data"), Node("hub")
    ring, endpoint = KeyRing(folder / "keys"), ipc_endpoint(folder, "front")
    settings = ImportSettings(accounts="off", roots=(RootSettings(path=str(folder)),))
    places = ImportPlaces(folder / "data", settings)
    node.listen_front(endpoint, MESH, ring)
    life = await node.start_actor(
        "imports",
        lambda: ImportProxy(repository, folder / "journal", settings, places=places, is_private=is_private),
    )
    dialers = {}
    for name, role in PEOPLE.items():
        pair, server = new_pair(), ServerKey(public=MESH.public)
        ring.allow(Principal(name=name, role=role), pair.public)
        dialers[name] = Dialer(node.context, endpoint, lambda *_: None, name=name, key=pair, server=server)
    try:
        yield House(folder, {name: one.link for name, one in dialers.items()})
    finally:
        for one in dialers.values():
            one.close()
        await life.stop()
        await life.wait()
        await node.close()
        repository.close()


@pytest.mark.parametrize(
    "kind", [GetImport, lambda **of: AwaitImport(revision=-1, **of), RetryImport, CancelImport, ForgetImport]
)
async def test_another_s_import_is_told_as_one_that_does_not_exist_where_plates_are_private(
    tmp_path: Path, kind: Any
) -> None:
    async with house(tmp_path, is_private=True) as here:
        import_id = await here.import_of_ada()
        told = await here.refused("grace", kind(import_id=import_id))
        assert "there is no import" in told
        assert str(here.source) not in told
        assert told.replace(import_id, "ID") == (await here.refused("grace", kind(import_id="import-9999"))).replace(
            "import-9999", "ID"
        )
        assert await here.ask("grace", ListImports()) == ()


@pytest.mark.parametrize("name", ["ada", "pc3", "chief"])
async def test_its_owner_an_administrator_and_who_handed_it_over_are_told_of_it(tmp_path: Path, name: str) -> None:
    async with house(tmp_path, is_private=True) as here:
        import_id = await here.import_of_ada()
        assert (await here.ask(name, GetImport(import_id=import_id))).owner == "ada"
        assert (await here.ask(name, AwaitImport(import_id=import_id, revision=-1))).owner == "ada"
        assert [one.import_id for one in await here.ask(name, ListImports())] == [import_id]


async def test_what_was_given_up_is_its_owner_s_alone_after_a_restart_too(tmp_path: Path) -> None:
    async with house(tmp_path, is_private=True) as here:
        import_id = await here.import_of_ada()
        await here.ask("ada", CancelImport(import_id=import_id))
    async with house(tmp_path, is_private=True) as here:
        assert [one.state for one in await here.ask("ada", ListImports())] == ["cancelled"]
        assert await here.ask("grace", ListImports()) == ()


async def test_where_everybody_sees_every_plate_everybody_sees_every_import_and_decides_about_the_own(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, is_private=False) as here:
        import_id = await here.import_of_ada()
        assert (await here.ask("grace", GetImport(import_id=import_id))).order.path == str(here.source)
        assert [one.import_id for one in await here.ask("grace", ListImports())] == [import_id]
        told = await here.refused("grace", CancelImport(import_id=import_id))
        assert f"import {import_id} is ada's, and grace decides about no other's" in told


def test_an_import_that_is_done_keeps_its_owner_and_who_handed_it_over() -> None:
    done = ImportStatus(import_id="import-0001", order=ImportOrder(path="/plate"), owner="ada", state="done")
    summary = Summary(
        import_id=done.import_id, at_unix_s=1.0, key="k", asker="pc3", status=msgspec.msgpack.encode(done)
    )
    assert (EndedImport(summary).owner, EndedImport(summary).asker) == ("ada", "pc3")
