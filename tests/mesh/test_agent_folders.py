"""An agent's own folder serves one mesh."""

from pathlib import Path

import pytest

from hcs_mesh.config import ConfigError
from hcs_mesh.served_mesh import RECORD, bind_to_mesh, check_mesh


def test_an_agent_s_folder_serves_the_mesh_it_began_with(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    bind_to_mesh(folder, "one key")
    bind_to_mesh(folder, "one key")
    assert check_mesh(folder, "one key")
    for refuse in (bind_to_mesh, check_mesh):
        with pytest.raises(ConfigError, match="an agent of another mesh") as refused:
            refuse(folder, "another key")
        assert "--data" in str(refused.value.hint)
    (folder / RECORD).unlink()
    bind_to_mesh(folder, "another key")


def test_asking_whether_a_folder_may_serve_a_mesh_binds_it_to_none(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    assert not check_mesh(folder, "a mistyped key")
    assert not folder.exists()
    bind_to_mesh(folder, "one key")
