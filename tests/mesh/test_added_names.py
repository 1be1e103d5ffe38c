"""Names that actors of a program's own may have beside the mesh's."""

from pathlib import Path
from typing import Any

import pytest

from hcs_mesh import Actor, Mesh, Request, Settings
from hcs_mesh.added_names import WrongActorName
from hcs_mesh.config import DeviceSettings
from hcs_mesh.supervisors import DuplicateChild

pytestmark = pytest.mark.anyio
SETTINGS = Settings(devices=DeviceSettings(cpu_slots=1, gpu="off"))


class Hi(Request[int], frozen=True, kw_only=True, tag="added.hi"):
    """Say hello."""


class Friendly(Actor[Hi]):
    """Answers, whatever it is called."""

    async def receive(self, message: Hi) -> Any:
        return 1


@pytest.mark.timeout(300)
async def test_an_actor_takes_no_name_that_anything_of_the_meshs_tree_has(tmp_path: Path) -> None:
    async with Mesh(SETTINGS, data=tmp_path) as mesh:
        rows = mesh.rows()
    own = [row.name for row in rows]
    assert {"mesh", "notices", "notifier", "scheduler", "control", "inspector", "executor.cpu0"} <= set(own)
    # "executors elsewhere" is of no form that could be added.
    for name in own:
        with pytest.raises((DuplicateChild, WrongActorName), match=name):
            async with Mesh(SETTINGS, data=tmp_path).add(name, Friendly):
                pass
    with pytest.raises(DuplicateChild, match="'notifier': it is the name of the mesh's own actor under notices"):
        async with Mesh(SETTINGS, data=tmp_path).add("notifier", Friendly):
            pass
    with pytest.raises(DuplicateChild, match="'mesh': it is the name of the mesh's own supervisor at the root"):
        async with Mesh(SETTINGS, data=tmp_path).add("mesh", Friendly):
            pass


@pytest.mark.parametrize("name", ["", " ", "a b", "notifier@gpu7", "-x", "a\nb", "a\n", ".a", "a/b"])
async def test_a_name_that_no_command_could_be_given_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongActorName, match="no name for an actor"):
        Mesh(SETTINGS, data=tmp_path).add(name, Friendly)


async def test_names_of_the_programs_own_are_taken_and_addressable(tmp_path: Path) -> None:
    mesh = Mesh(SETTINGS, data=tmp_path)
    names = ("cells", "cell-counter", "cell.counter_2", "Zähler", "notifier.2")
    for name in names:
        mesh.add(name, Friendly)
    async with mesh:
        for name in names:
            assert await mesh.ask(name, Hi()) == 1
        assert {row.parent for row in mesh.rows() if row.name in names} == {"mesh"}
