"""Watched folders from the command line, by a mesh in processes of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from hcs_mesh.plates.synthetic import Recipe, write_plate

pytestmark = pytest.mark.anyio

WATCHES = """
[[watch]]
path = "{folder}/here"
owner = "ada"
look_s = 0.2
quiet_s = 0.3
[[watch]]
path = "{folder}/away"
sentinel = ".mounted"
"""


async def test_what_a_microscope_writes_is_imported_and_listed(mesh_up: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with mesh_up(more_settings=WATCHES.format(folder=tmp_path)) as mesh:
        write_plate(tmp_path / "here" / "p", Recipe(name="p", n_rows=1, n_columns=1, n_fields=1, size_px=64))
        await eventually(lambda: [one["state"] for one in mesh("imports").value] == ["done"], 60, "the import")
        (listed,) = mesh("imports").value
        assert (listed["owner"], listed["source"]) == ("ada", str(tmp_path / "here" / "p"))
        here, away = mesh("watches").value
        assert (here["state"], here["n_handed_over"], here["waiting"], here["late"]) == ("there", 1, [], [])
        assert (away["state"], ".mounted" in away["reason"]) == ("missing", True)
