"""Paths that somebody gave and that lead nowhere."""

import os
from pathlib import Path

import pytest

from hcs_mesh.actors.errors import NoSuchSource
from hcs_mesh.actors.imports.scanning import check_source
from hcs_mesh.plates.errors import SourceUnreadable


@pytest.mark.parametrize(
    "path",
    ["/" + "x" * 300, "/" + "x/" * 3000, "/nowhere/at/all", "/etc/hostname/below", "/zero\0byte", "/\ud800"],
    ids=["long name", "long path", "missing", "below a file", "zero byte", "surrogate"],
)
def test_a_path_that_leads_nowhere_is_said_to(path: str) -> None:
    with pytest.raises(NoSuchSource):
        check_source(path)


def test_a_circle_of_links_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(SourceUnreadable):
        check_source(str(tmp_path / "a"))


def test_a_folder_that_may_not_be_entered_is_unreadable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "plate").mkdir(parents=True)
    closed.chmod(0)
    if os.geteuid() == 0:
        # The administrator enters everywhere: the system's answer to others is played.
        def refuse(path: Path) -> os.stat_result:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(SourceUnreadable, match="may not be looked at"):
        check_source(str(closed / "plate"))
    monkeypatch.undo()
    closed.chmod(0o700)
