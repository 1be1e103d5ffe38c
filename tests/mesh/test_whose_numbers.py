"""Whose numbers a data folder's journals speak of: it is written down once, and held to."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hcs_mesh.config import ConfigError
from hcs_mesh.layout import DataLayout
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.model import Plate
from hcs_mesh.plates.repository import StoredFileset
from hcs_mesh.supervisors.journal import Journal
from hcs_mesh.whose_numbers import LOCAL, RECORD, Numbers, claim

OMERO = Numbers(kind="omero", server="omero.example.org:4064")
OTHER = Numbers(kind="omero", server="other.example.org:4064")


class Note(msgspec.Struct, frozen=True, tag="note"):
    text: str


@pytest.fixture
def layout(tmp_path: Path) -> DataLayout:
    return DataLayout(tmp_path / "data")


@pytest.fixture
def local(layout: DataLayout) -> Iterator[LocalRepository]:
    repository = LocalRepository(layout.data)
    yield repository
    repository.close()


def test_a_new_folder_belongs_to_whoever_comes_first(layout: DataLayout, local: LocalRepository) -> None:
    claim(layout, OMERO, local)
    claim(layout, OMERO, local)
    for other in (LOCAL, OTHER):
        with pytest.raises(ConfigError, match=r"are those of OMERO at omero\.example\.org:4064") as refused:
            claim(layout, other, local)
        assert "--data FOLDER" in refused.value.hint
        assert str(layout.data / RECORD) in refused.value.hint


def test_a_local_folder_without_plates_may_go_to_omero(layout: DataLayout, local: LocalRepository) -> None:
    claim(layout, LOCAL, local)
    claim(layout, OMERO, local)
    with pytest.raises(ConfigError, match="its local repository"):
        claim(layout, LOCAL, local)


@pytest.mark.parametrize("written", [True, False])
def test_plates_that_are_here_keep_a_server_out(layout: DataLayout, local: LocalRepository, *, written: bool) -> None:
    if written:
        claim(layout, LOCAL, local)
    local.register("import-0001", [StoredFileset(planner="any", files=(), plates=(Plate(id=0, name="here"),))])
    with pytest.raises(ConfigError, match="holds 1 plate of its local repository"):
        claim(layout, OMERO, local)
    claim(layout, LOCAL, local)


def test_imports_under_way_keep_a_server_out(layout: DataLayout, local: LocalRepository) -> None:
    (layout.data / "repository" / "imports" / "import-0001" / "files").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds imports under way"):
        claim(layout, OMERO, local)


def test_an_import_that_the_journal_alone_knows_keeps_a_server_out(layout: DataLayout, local: LocalRepository) -> None:
    folder = layout.journal("imports")

    async def write(*notes: Note) -> None:
        async with await Journal[Note].open(folder, record_type=Note) as journal:
            for note in notes:
                await journal.append(note)

    asyncio.run(write())
    claim(layout, OMERO, local)
    (layout.data / RECORD).unlink()
    asyncio.run(write(Note("accepted")))
    with pytest.raises(ConfigError, match="holds the journal of imports"):
        claim(layout, OMERO, local)


def test_a_record_that_says_nothing_is_refused_with_what_it_should_say(
    layout: DataLayout, local: LocalRepository
) -> None:
    (layout.data / RECORD).write_text("{}")
    with pytest.raises(ConfigError, match=r"home\.json does not say") as refused:
        claim(layout, LOCAL, local)
    assert '{"kind": "local"}' in refused.value.hint
