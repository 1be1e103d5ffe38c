"""An agent's own folder serves one mesh."""

from pathlib import Path

import pytest

from hcs_mesh.config import ConfigError
from hcs_mesh.served_mesh import RECORD, bind_to_mesh


def test_an_agent_s_folder_serves_the_mesh_it_began_with(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    bind_to_mesh(folder, "one key")
    bind_to_mesh(folder, "one key")
    with pytest.raises(ConfigError, match="an agent of another mesh") as refused:
        bind_to_mesh(folder, "another key")
    assert "--data" in str(refused.value.hint)
    (folder / RECORD).unlink()
    bind_to_mesh(folder, "another key")
