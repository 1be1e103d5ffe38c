"""The places of one mesh: which of them answers for a plate, and where its results go."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hcs_mesh.plates.errors import PlaceAway, ResultsGoElsewhere
from hcs_mesh.plates.labels import UNLABELLED, Labels
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.model import Plate, PlateSummary
from hcs_mesh.plates.numbers import HTTP, SPAN
from hcs_mesh.plates.places import Places
from hcs_mesh.plates.plate_source import Freshness, PlateSource, Stamped
from hcs_mesh.plates.repository import StoredFileset
from hcs_mesh.plates.survey import PlatesIncomplete, UnlistedPlace

OTHER = 7


class Shelf:
    """A place that is only read from: all that one has to write."""

    kind = "shelf"

    def __init__(self, *compatible_results: str) -> None:
        self.compatible_results = compatible_results

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        return (PlateSummary(id=OTHER * SPAN + 1, name=f"{requester}'s", n_wells=1, n_fields=1, n_images=1),)

    def plate(self, plate_id: int, requester: str = "") -> Plate:
        return Plate(id=plate_id, name=f"{requester}'s", root="shelf://1")

    def stamped(self, plate_id: int, requester: str = "") -> Stamped:
        return Stamped(self.plate(plate_id, requester), self.stamp(plate_id, requester))

    def labels(self, plate_id: int, requester: str = "") -> Labels:
        return UNLABELLED

    def freshness(self, plate_id: int = 0) -> Freshness:
        return Freshness(5.0, is_private=True)

    def stamp(self, plate_id: int, requester: str = "") -> str:
        return "1"

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[LocalRepository]:
    repository = LocalRepository(tmp_path / "data")
    yield repository
    repository.close()


def register(home: LocalRepository, name: str) -> int:
    fileset = StoredFileset(planner="any", files=(), plates=(Plate(id=0, name=name),))
    (number,) = home.register(f"import-{name}", [fileset])
    return number


def test_a_plates_number_says_which_place_answers(home: LocalRepository) -> None:
    source: PlateSource = Shelf("local")
    places = Places(home, {OTHER: source}, stores=(home,))
    here = register(home, "here")
    assert (here, places.plate(here, "ada").name) == (1, "here")
    assert places.plate(OTHER * SPAN + 1, "ada").name == "ada's"
    # What was imported last is the last.
    assert [one.name for one in places.plates("ada")] == ["ada's", "here"]
    assert places.freshness(here) == Freshness(None, is_private=False)
    assert places.freshness() == Freshness(5.0, is_private=True)
    with pytest.raises(PlateNotFound, match="settings do not name"):
        places.plate(3 * SPAN + 1)
    with pytest.raises(PlateNotFound):
        places.plate(-1)


class Shut(Shelf):
    """A place that shows nobody anything now."""

    def plates(self, requester: str = "") -> tuple[PlateSummary, ...]:
        raise PlaceAway(f"nobody is there for {requester}", hint="wait")


def test_the_plates_of_a_place_that_cannot_list_them_keep_nobody_from_those_of_others(home: LocalRepository) -> None:
    register(home, "here")
    with pytest.raises(PlatesIncomplete, match="plates of 'shelf' cannot be listed: nobody is there for ada") as found:
        Places(home, {OTHER: Shut("local"), 3: Shelf("local")}, stores=(home,)).plates("ada")
    assert found.value.hint == "wait"
    survey = found.value.survey
    assert [one.name for one in survey.plates] == ["ada's", "here"]
    assert survey.unlisted == (UnlistedPlace(place="shelf", error="nobody is there for ada", hint="wait"),)
    # Where there is no other place, it is that place's own word.
    with pytest.raises(PlaceAway, match=r"^nobody is there for ada$"):
        Places(Shut("local"), stores=(home,)).plates("ada")


def test_where_results_go_follows_from_the_plate(home: LocalRepository) -> None:
    places = Places(home, {OTHER: Shelf("elsewhere", "local"), 3: Shelf("elsewhere"), 4: Shelf()}, stores=(home,))
    for wanted in ("", "local"):
        places.check_results(register(home, f"here{wanted}"), wanted)
        places.check_results(OTHER * SPAN + 1, wanted)
    with pytest.raises(ResultsGoElsewhere, match="lies in 'shelf', whose results go to 'local', and not to 'omero'"):
        places.check_results(OTHER * SPAN + 1, "omero")
    with pytest.raises(ResultsGoElsewhere, match="would go to elsewhere, and this mesh has local"):
        places.results_folder(3 * SPAN + 1, "job", "A01", 1)
    with pytest.raises(ResultsGoElsewhere, match="would go to nowhere"):
        places.check_results(4 * SPAN + 1, "")


def test_a_plate_elsewhere_keeps_its_number_and_takes_none_from_those_here(
    home: LocalRepository, tmp_path: Path
) -> None:
    def number(address: Any) -> int:
        return home.number_elsewhere(HTTP, address, "a plate")

    first = register(home, "first")
    one, other = number("http://a/1"), number("http://a/2")
    assert (one, other) == (HTTP * SPAN + 1, HTTP * SPAN + 2)
    assert register(home, "second") == first + 1
    assert (number("http://a/1"), number("http://a/2"), number("http://a/3")) == (one, other, HTTP * SPAN + 3)
    assert [plate.name for plate in home.plates()] == ["first", "second"]
    assert home.results_folder(one, "job-1", "A01", 1).is_dir()
