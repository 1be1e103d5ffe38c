"""On a workstation, too, somebody may put anything in the place of the folder in which links are held."""

import asyncio
import shutil
from pathlib import Path

import pytest

from hcs_mesh.actors.agents.letting_go import sweep_apart
from hcs_mesh.actors.agents.served_source import ServedSource
from hcs_mesh.plates.holding import Hold, StagingFailed, Swept
from hcs_mesh.plates.served_folders import ServedFolder, ServedFolders

IMPORT = "import-0001"


@pytest.fixture
def served(tmp_path: Path) -> ServedSource:
    plate = tmp_path / "served" / "plate"
    plate.mkdir(parents=True)
    (plate / "index.xml").write_bytes(b"plate" * 1000)
    folders = ServedFolders([ServedFolder(name="plates", path=str(tmp_path / "served"))])
    return ServedSource(folders, tmp_path / "data")


@pytest.fixture
def held(served: ServedSource, tmp_path: Path) -> Hold:
    found = served.hold(IMPORT, str(tmp_path / "served" / "plate"), served.scan("plates/plate").files)
    assert found.staging
    return found


@pytest.fixture
def other(held: Hold, tmp_path: Path) -> Path:
    """A folder of somebody's with the same names, to which a link leads from where links were made."""
    folder = tmp_path / "other"
    home = Path(held.staging).parent
    shutil.copytree(home, folder)
    home.rename(home.with_name("aside"))
    home.symlink_to(folder)
    return folder / IMPORT


def test_an_agent_releases_nothing_that_it_has_not_held(served: ServedSource, held: Hold, other: Path) -> None:
    before = sorted(other.iterdir())
    served.release(held)
    assert sorted(other.iterdir()) == before != []


def test_an_agent_lets_go_of_nothing_that_it_has_not_held(served: ServedSource, held: Hold, other: Path) -> None:
    before = sorted(other.iterdir())
    with pytest.raises(StagingFailed):
        served.let_go(held)
    assert sorted(other.iterdir()) == before != []


def test_an_agent_reads_no_link_where_it_has_not_made_it(served: ServedSource, held: Hold, other: Path) -> None:
    (file,) = held.files
    with pytest.raises(StagingFailed, match="it is a link"):
        served.open(IMPORT, held.source, file.path, held.staging, file)
    assert other.exists()


def test_an_agent_sweeps_what_was_held_for_imports_that_are_over_and_nothing_else(
    served: ServedSource, held: Hold, tmp_path: Path
) -> None:
    gone = served.hold("import-0002", str(tmp_path / "served" / "plate"), served.scan("plates/plate").files)
    assert asyncio.run(sweep_apart(served, ("import-0002",))) == Swept(("import-0002",), (IMPORT,))
    assert (Path(held.staging).exists(), Path(gone.staging).exists()) == (True, False)


def test_an_agent_sweeps_nothing_that_it_has_not_held(served: ServedSource, other: Path) -> None:
    before = sorted(other.iterdir())
    assert asyncio.run(sweep_apart(served, (IMPORT,))) == Swept()
    assert sorted(other.iterdir()) == before != []
