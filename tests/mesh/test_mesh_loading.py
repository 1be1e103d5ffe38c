"""What a mesh loads to come up: it is waited for after each crash."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["aiosmtplib", "email.policy", "aiohttp", "cv2", "scipy"])
def test_a_mesh_comes_up_without_what_only_some_of_its_work_needs(tmp_path: Path, module: str) -> None:
    program = f"import sys\nimport hcs_mesh.command_line.foreground\nassert {module!r} not in sys.modules"
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
