"""Nothing of an agent's own folder is handed out, be it inside of a folder that is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.plates.holding import hold
from hcs_mesh.plates.planning import plan
from hcs_mesh.plates.repository import SourceFile
from hcs_mesh.plates.served_folders import NotServed, ServedFolder, ServedFolders
from hcs_mesh.plates.synthetic import Recipe, write_plate


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "served" / "agent"
    folder.mkdir(parents=True)
    (folder / "scope.secret").write_bytes(b"secret")
    return folder


@pytest.fixture
def source(own: Path) -> ServedSource:
    folders = ServedFolders([ServedFolder(name="plates", path=str(own.parent))], own=own)
    return ServedSource(folders, own)


def test_a_file_of_an_agent_s_own_folder_is_not_opened(source: ServedSource, own: Path) -> None:
    plate = own.parent / "plate"
    plate.mkdir()
    (plate / "link").symlink_to(own / "scope.secret")
    for root, path in ((own, "scope.secret"), (own.parent, "agent/scope.secret"), (plate, "link")):
        seen = (root / path).stat()
        settled = SourceFile(
            path=path, size=seen.st_size, mtime_ns=seen.st_mtime_ns, inode=seen.st_ino, device=seen.st_dev
        )
        (watched,) = hold([settled], root, None, "import-1").files
        for held in (None, watched):
            with pytest.raises(NotServed):
                source.open("import-1", str(root), path, "", held)
            with pytest.raises(NotServed):
                source.checksum("import-1", str(root), path, "", held, "sha1")
    (plate / "mine").write_bytes(b"plate")
    source.open("import-1", str(plate), "mine", "", None).close()


def test_a_plate_with_an_image_in_an_agent_s_own_folder_is_not_opened(source: ServedSource, own: Path) -> None:
    plate = own.parent / "plate"
    write_plate(plate, Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=64))
    found = plan(plate)
    assert source.planned_root(found) == plate
    image = plate / found.plates[0].image(0).file
    image.rename(own / "image.tif")
    image.symlink_to(own / "image.tif")
    with pytest.raises(NotServed, match="leads out of what this workstation serves"):
        source.planned_root(found)


def test_a_served_folder_that_is_a_link_is_what_it_led_to_at_the_start(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name / "plate").mkdir(parents=True)
    link = tmp_path / "plates"
    link.symlink_to(tmp_path / "one")
    folders = ServedFolders([ServedFolder(name="plates", path=str(link))])
    assert folders.resolve("plates/plate") == tmp_path / "one" / "plate"
    link.unlink()
    link.symlink_to(tmp_path / "other")
    with pytest.raises(NotServed):
        folders.resolve("plates/plate")
