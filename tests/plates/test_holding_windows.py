"""Holding where POSIX is missing; what needs Windows itself is untested."""

import subprocess
import sys
from pathlib import Path

import pytest

from hcs_mesh.plates.holding import hold, release
from hcs_mesh.plates.holding.windows import DenyDelete
from hcs_mesh.plates.repository import SourceFile

WITHOUT_POSIX = """
import importlib, sys
import hcs_mesh.plates.local  # what others wrote asks for the platform as well: it is there before it is another
for name in ("fcntl", "grp", "pwd", "resource", "syslog", "termios"):
    sys.modules[name] = None
sys.platform = "win32"
importlib.import_module(sys.argv[1])
"""


class Denier:
    """Stands for Windows' handles: notes what is denied."""

    def __init__(self, refused: tuple[str, ...] = ()) -> None:
        self.refused = refused
        self.denied: dict[str, list[str]] = {}

    def deny(self, import_id: str, path: Path) -> None:
        if path.name in self.refused:
            raise OSError(13, "the file is open elsewhere")
        self.denied.setdefault(import_id, []).append(path.name)

    def release(self, import_id: str) -> None:
        self.denied.pop(import_id)


def files_in(folder: Path) -> list[SourceFile]:
    for name in ("a.tif", "b.tif"):
        (folder / name).write_bytes(b"plane")
    looks = [(path, path.stat()) for path in sorted(folder.iterdir())]
    return [SourceFile(path=path.name, size=s.st_size, mtime_ns=s.st_mtime_ns, inode=s.st_ino) for path, s in looks]


def test_where_handles_can_deny_deletion_they_are_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denier = Denier(refused=("b.tif",))
    monkeypatch.setattr(sys.modules["hcs_mesh.plates.holding.hold"], "platform_denier", lambda: denier)
    held = hold(files_in(tmp_path), tmp_path, None, "import-0001")
    assert held.n_files == (("deny-delete", 1), ("watched only", 1))
    assert held.guarantee == "watched only"
    assert "open elsewhere" in held.reason
    release(held)
    assert not denier.denied


@pytest.mark.skipif(sys.platform == "win32", reason="tells what other systems answer")
def test_elsewhere_no_handle_denies_deletion(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="only Windows"):
        DenyDelete().deny("import-0001", tmp_path)


def test_holding_is_imported_without_the_modules_of_posix() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, "hcs_mesh.plates.holding"], capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
