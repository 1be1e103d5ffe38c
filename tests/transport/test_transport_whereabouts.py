"""Who holds a data folder, and who may get in its way."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hcs_mesh.transport import load_or_create_pair
from hcs_mesh.transport.whereabouts import DataLock, MeshRunning, holds_lock, owner_secret


def test_nobody_else_can_open_the_lock_and_so_nobody_else_can_hold_it(tmp_path: Path) -> None:
    (tmp_path / "mesh.lock").touch()
    (tmp_path / "mesh.lock").chmod(0o644)
    lock = DataLock(tmp_path)
    assert (tmp_path / "mesh.lock").stat().st_mode & 0o777 == 0o600
    assert holds_lock(tmp_path)
    lock.release()
    assert not holds_lock(tmp_path)


def test_keys_lie_in_a_folder_that_only_their_owner_enters(tmp_path: Path) -> None:
    load_or_create_pair(owner_secret(tmp_path))
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_a_refusal_names_a_process_only_while_it_lives(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path = tmp_path / "mesh.lock"
    for pid, named in ((os.getpid(), True), (ended.pid, False)):
        path.write_text(f"{pid}\n")
        with path.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_SH)
            with pytest.raises(MeshRunning) as refused:
                DataLock(tmp_path)
        assert (f"process {pid}" in str(refused.value)) is named
