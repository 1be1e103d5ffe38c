"""Images that lie on no plate: where they went is told, and why they are not analysed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from companions import STACKS, write_stacks
from omero_imports import METAXPRESS, OME_TIFF, Importing, ask, importable, importing
from omero_plates import logged_in, some_planes, write_ome_plate

from hcs_mesh.plates.labels import Target
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.omero.address import Person
from hcs_mesh.plates.omero.off_plates import sentence
from hcs_mesh.plates.omero.pixels import OmeroPixels
from hcs_mesh.plates.omero.plates import OmeroPlates
from hcs_mesh.plates.omero.source import OmeroSource
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")


@pytest.fixture
def desk(omero: RunningServer) -> Iterator[Importing]:
    with importing(omero, users=("ada", "grace")) as one:
        yield one


def images_of(server: RunningServer, fileset_ids: tuple[int, ...]) -> list[int]:
    with logged_in(server, "ada") as client:
        rows = ask(client, "select img.id, fs.id from Image img join img.fileset fs order by img.id")
    return [number for number, fileset in rows if fileset in fileset_ids]


def test_images_without_a_plate_are_told_with_their_dataset(
    omero: RunningServer, desk: Importing, shared_data: Path
) -> None:
    one = desk.of("in-a-dataset", shared_data / OME_TIFF)
    assert one.whole(target=Target(dataset="Confocal")) == ()
    [image] = images_of(omero, one.at.fileset_ids())
    with logged_in(omero, "ada") as client:
        [[dataset]] = ask(client, "select d.id from Dataset d where d.name = 'Confocal'")
    assert one.at.off_plates(one.import_id) == (
        f"1 image is in OMERO in Confocal (Dataset:{dataset}) and lies on no plate (Image:{image}); here only images "
        "on plates are listed, shown and analysed"
    )
    nowhere = desk.of("in-no-dataset", shared_data / OME_TIFF)
    nowhere.whole()
    assert "in OMERO in no dataset and lies on no plate" in nowhere.at.off_plates(nowhere.import_id)


def test_of_images_on_plates_there_is_nothing_to_tell(desk: Importing, shared_data: Path) -> None:
    one = desk.of("on-a-plate", importable(shared_data / METAXPRESS))
    one.whole()
    assert one.at.off_plates(one.import_id) == ""


def test_what_a_plate_does_not_show_is_told(desk: Importing, tmp_path: Path) -> None:
    source = write_stacks(tmp_path / "stacks")
    (source / "t1" / "B2_s6_DAPI.tif").unlink()
    one = desk.of("with-a-hole", source, pattern=STACKS)
    one.whole()
    assert one.at.off_plates(one.import_id) == (
        "plate stacks in OMERO lacks what is stored with it: B02 field 6: 9 of 9 planes"
    )


def test_few_of_many_images_are_named() -> None:
    said = sentence(range(1, 500), [])
    assert said.startswith("499 images are in OMERO")
    assert "Image:10, ...)" in said
    assert sentence([7], ["a (Dataset:1)", "b (Dataset:2)"]).startswith(
        "1 image is in OMERO in a (Dataset:1) and b (Dataset:2) and lies on no plate (Image:7)"
    )


def put_on_a_plate(server: RunningServer, images: list[int]) -> int:
    """Do with OMERO's own library as its script Dataset To Plate does: a well for each image, in a row."""
    from omero import model
    from omero.rtypes import rint, rstring

    with logged_in(server, "ada") as client:
        update = client.getSession().getUpdateService()
        plate = model.PlateI()
        plate.setName(rstring("of a dataset"))
        plate = update.saveAndReturnObject(plate)
        for column, image in enumerate(images):
            well, sample = model.WellI(), model.WellSampleI()
            well.setPlate(model.PlateI(plate.getId(), False))
            well.setRow(rint(0))
            well.setColumn(rint(column))
            well = update.saveAndReturnObject(well)
            sample.setImage(model.ImageI(image, False))
            sample.setWell(well)
            well.addWellSample(sample)
            update.saveObject(sample)
        return int(plate.getId().getValue())


def refuses(ask: Callable[[int, str], object], image: int) -> None:
    said = rf"There is no plate {image}\. Image {image} of OMERO \(.+\) lies on no plate"
    with pytest.raises(PlateNotFound, match=said) as no:
        ask(image, "ada")
    assert "Dataset To Plate" in no.value.hint
    assert "--pattern" in no.value.hint


def test_to_ask_for_an_image_as_if_it_were_a_plate_is_an_error_that_explains(
    omero: RunningServer, desk: Importing, shared_data: Path, tmp_path: Path
) -> None:
    alone, on_plate = (
        desk.of("alone", shared_data / OME_TIFF),
        desk.of("beside", write_ome_plate(tmp_path / "plate.ome.tiff", some_planes(1, 2, 1, 8, 8))),
    )
    alone.whole()
    on_plate.whole()
    source = OmeroSource(desk.identities)
    image = images_of(omero, alone.at.fileset_ids())[-1]
    # What asks for plates may begin with any of them.
    for asked in (source.plate, source.stamp, source.labels):
        refuses(asked, image)
    # One that lies on a plate has that told, and one that may not be seen is told like none at all.
    [plate_id] = on_plate.register()
    placed = images_of(omero, on_plate.at.fileset_ids())[-1]
    said = rf"^There is no plate {placed}\. .+ is in well A01 of plate {plate_id} "
    with pytest.raises(PlateNotFound, match=said) as no:
        source.plate(placed, "ada")
    assert f"Ask for plate {plate_id}" in no.value.hint
    for number, person in ((placed, "grace"), (image, "grace"), (99_999, "ada")):
        with pytest.raises(PlateNotFound, match=rf"^There is no plate {number}\.$"):
            source.plate(number, person)


def test_images_that_somebody_puts_on_a_plate_in_omero_are_a_plate_from_then_on(
    omero: RunningServer, desk: Importing, shared_data: Path
) -> None:
    one = desk.of("put-on-a-plate", shared_data / OME_TIFF)
    one.whole()
    images = images_of(omero, one.at.fileset_ids())
    source = OmeroSource(desk.identities)
    refuses(source.plate, images[0])
    plate_id = put_on_a_plate(omero, images)
    assert plate_id in {plate.id for plate in source.plates("ada")}
    plate = source.plate(plate_id, "ada")
    assert plate.wells == tuple(f"A{n + 1:02d}" for n in range(len(images)))
    # All that a job or a viewer asks for: the planes, as they are served.
    pool: Any = desk.identities.pool(Person(user="ada"))
    there, pixels = OmeroPlates(pool).with_places(plate_id), OmeroPixels(pool)
    first = next(iter(there.plate.images()))
    assert pixels.read(there, first).shape == (first.height, first.width)
    pixels.close()
