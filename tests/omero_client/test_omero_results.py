"""Results of wells in OMERO: each thing is what it is there, and other programs find it."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omero_imports import ask
from omero_lab import SETUP
from omero_plates import add_well, import_files, logged_in, save_plate, some_planes, write_ome_plate
from omero_results import (
    SOURCE,
    commit,
    gateway,
    inventory,
    job_of,
    make_plate,
    pool_of,
    processed,
    results_of,
    some_labels,
    some_table,
)

from hcs_mesh.plates.local import seal_well, write_ome_tiff
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.omero.library import omero_py
from hcs_mesh.plates.omero.pixels import OmeroPixels
from hcs_mesh.plates.omero.plates import OmeroPlates
from hcs_mesh.plates.omero.pool import ConnectionPool
from hcs_mesh.plates.omero.result_keys import FILE, LABELS, PIPELINE, RESULTS, TABLE
from hcs_mesh.plates.omero.results import OmeroResults
from hcs_mesh.plates.repository import ResultFile, StoredResult
from omero_server.running import RunningServer, running_server

pytestmark = [pytest.mark.needs("omero"), pytest.mark.timeout(300)]

RANGES = """
select known.name, stats.globalMin, stats.globalMax from Channel c join c.statsInfo stats join c.logicalChannel known
 join c.pixels pix join pix.image img join img.wellSamples ws join ws.well well join well.plate plate
where plate.id > :pid order by c.id
"""


@pytest.fixture
def pool(omero: RunningServer) -> Iterator[ConnectionPool]:
    pool = pool_of(omero)
    yield pool
    pool.close()


@pytest.fixture
def results(pool: ConnectionPool, tmp_path: Path) -> OmeroResults:
    return results_of(pool, tmp_path / "spool")


@pytest.fixture
def plate_id(omero: RunningServer) -> int:
    return make_plate(omero)


@pytest.fixture
def written(results: OmeroResults, plate_id: int) -> int:
    """A plate of which the first well is finished."""
    commit(results, plate_id)
    return plate_id


def test_the_command_line_of_omero_shows_what_was_written(
    omero: RunningServer,
    written: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with gateway(omero) as connection:
        well = next(iter(connection.getObject("Plate", written).listChildren()))
        (record,) = well.listAnnotations(ns=RESULTS)
        (report,) = well.listAnnotations(ns=FILE)
        record_id, file_id = record.getId(), report.getFile().getId()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OMERO_USERDIR", str(tmp_path / "omero"))
    from omero.cli import CLI

    # The script refuses to run as root; the commands that it is made of do not.
    cli = CLI()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a plugin that warns while it is loaded would be left out
        cli.loadplugins()
    cli.invoke(["login", "-s", omero.host, "-p", str(omero.port), "-u", "ada", "-w", "pw-ada"], strict=True)
    capfd.readouterr()
    cli.invoke(["obj", "map-get", f"MapAnnotation:{record_id}", "mapValue", "job"], strict=True)
    assert capfd.readouterr().out.strip() == job_of(written)
    back = tmp_path / "report.json"
    cli.invoke(["download", f"OriginalFile:{file_id}", str(back)], strict=True)
    assert back.read_text() == '{"seed": 0}'
    cli.close()


def test_processed_planes_fill_the_well_of_a_plate_of_their_own(
    omero: RunningServer, pool: ConnectionPool, written: int
) -> None:
    with gateway(omero) as connection:
        names = {one.getId(): one.getName() for one in connection.getObjects("Plate")}
        (derived,) = [
            number for number, name in names.items() if name == f"a plate ({job_of(written)})" and number > written
        ]
        wells = {one.getWellPos(): one for one in connection.getObject("Plate", derived).listChildren()}
        assert {at: len(list(well.listChildren())) for at, well in wells.items()} == {"A1": 2, "A2": 0}
        for sample in wells["A1"].listChildren():
            told = dict(sample.getImage().getAnnotation("hcs-mesh/result/image").getValue())
            assert (told["job"], told["well"], told["pipeline"]) == (job_of(written), "A01", "nuclei")
            assert connection.getObject("Image", int(told["source image"])) is not None
            store = connection.c.sf.createThumbnailStore()
            assert store.setPixelsId(sample.getImage().getPixelsId()), "no thumbnail was asked for before"
            store.close()
            assert sample.getImage().getThumbnail(32) is not None
    found = OmeroPlates(pool).with_places(derived)
    assert found.plate.wells == ("A01",)
    assert found.plate.channels == ("blurred", "flat")
    for image in found.plate.images():
        expected = processed(image.field, found.plate.channels[image.c])
        np.testing.assert_array_equal(OmeroPixels(pool).read(found, image), expected)


def test_a_second_well_goes_to_the_same_plate(omero: RunningServer, results: OmeroResults, written: int) -> None:
    with logged_in(omero, "ada") as client:
        before = inventory(client)
        omero.control.tell("forget_counts")
        commit(results, written, well="A02")
        # Nothing was made that had to be taken away again.
        assert "ServiceFactory.submit" not in omero.control.counts()
        after = inventory(client)
    assert after["Plate"] == before["Plate"]
    assert after["WellSample"] == before["WellSample"] + 2


def test_images_have_the_pixel_size_of_their_source(
    omero: RunningServer, pool: ConnectionPool, results: OmeroResults, tmp_path: Path
) -> None:
    path = write_ome_plate(tmp_path / "plate.ome.tiff", some_planes(1, 2, 2, 24, 32))
    with logged_in(omero, "ada") as client:
        plate_id = next(number for kind, number in import_files(client, [path], tmp_path) if kind == "Plate")
    commit(results, plate_id)
    derived = max(one.id for one in OmeroPlates(pool).plates())
    assert derived > plate_id
    assert OmeroPlates(pool).plate(derived).pixel_size_um == pytest.approx(0.65)


def test_planes_are_kept_of_a_source_whose_pixels_have_no_length(
    omero: RunningServer, pool: ConnectionPool, results: OmeroResults, tmp_path: Path
) -> None:
    path = write_ome_plate(tmp_path / "plate.ome.tiff", some_planes(1, 2, 2, 24, 32), pixel_size=(1.0, "pixel"))
    with logged_in(omero, "ada") as client:
        plate_id = next(number for kind, number in import_files(client, [path], tmp_path) if kind == "Plate")
    commit(results, plate_id)
    derived = OmeroPlates(pool).plate(max(one.id for one in OmeroPlates(pool).plates()))
    assert (derived.id > plate_id, derived.n_images, derived.pixel_size_um, derived.notes) == (True, 4, None, ())


@pytest.mark.parametrize(("row", "column"), [(None, None), (None, 1), (-1, 0)])
def test_a_plate_with_a_well_without_a_place_is_read_and_takes_results(
    omero: RunningServer,
    pool: ConnectionPool,
    results: OmeroResults,
    plate_id: int,
    row: int | None,
    column: int | None,
) -> None:
    with logged_in(omero, "ada") as client:
        save_plate(client, "another", n_rows=1, n_columns=1, n_fields=1)
        [image_id] = max(ask(client, "select img.id, img.id from Image img"))[:1]
        add_well(client, plate_id, row=row, column=column, image_id=image_id)
    plates = OmeroPlates(pool)
    found = plates.plate(plate_id)
    assert (found.wells, found.fields("A01"), found.n_images) == (("A01", "A02"), (1, 2), 16)
    assert found.notes == ("1 images of wells without a row or column of a plate are left out",)
    with pytest.raises(PlateNotFound, match=rf"Image {image_id} of OMERO .+ is in a well of plate {plate_id} "):
        plates.plate(image_id)
    commit(results, plate_id)
    derived = max(one.id for one in plates.plates())
    assert (derived > plate_id, plates.plate(derived).wells) == (True, ("A01",))
    with logged_in(omero, "ada") as client:
        wells = ask(client, f"select well.row, well.column from Well well where well.plate.id = {derived}")
    assert sorted(wells) == [[0, 0], [0, 1]]


def test_what_was_not_measured_does_not_spoil_the_range_in_which_a_plane_is_drawn(
    pool: ConnectionPool, results: OmeroResults, plate_id: int
) -> None:
    folder = results.results_folder(plate_id, job_of(plate_id), "A01", 1)
    holed = processed(1, "holed").astype("float32")
    low, high = float(holed.min()), float(holed.max())
    holed[np.unravel_index([5, 6, 7], holed.shape)] = np.nan, np.inf, -np.inf
    files = []
    for name, plane in (("holed", holed), ("nowhere", np.full_like(holed, np.nan))):
        write_ome_tiff(folder / f"{name}.ome.tiff", plane)
        said = {"path": f"{name}.ome.tiff", "output": name, "field": 1, "dtype": "float32"}
        files.append(ResultFile(**said, kind="plane", height=24, width=32))  # type: ignore[arg-type]
    well: dict[str, Any] = {"job": job_of(plate_id), "plate_id": plate_id, "well": "A01", "attempt": 1}
    seal_well(folder, StoredResult(**well, n_objects=0, measurements=(), files=tuple(files)))
    results.commit_well(plate_id, job_of(plate_id), "A01", 1)
    assert pool.read(lambda connection: connection.rows(RANGES, pid=plate_id)) == [["holed", low, high]]


def test_the_plate_of_results_hangs_in_its_sources_screens(
    omero: RunningServer, results: OmeroResults, plate_id: int
) -> None:
    with gateway(omero) as connection:
        library = omero_py()
        model, rstring = library.omero.model, library.rtypes.rstring

        screen = model.ScreenI()
        screen.setName(rstring("a screen"))
        screen.linkPlate(model.PlateI(plate_id, False))
        screen_id = connection.getUpdateService().saveAndReturnObject(screen).getId().getValue()
        commit(results, plate_id)
        names = [one.getName() for one in connection.getObject("Screen", screen_id).listChildren()]
    assert sorted(names) == ["a plate", f"a plate ({job_of(plate_id)})"]


def test_objects_are_masks_on_their_plane_as_other_programs_read_them(omero: RunningServer, written: int) -> None:
    with gateway(omero) as connection:
        well = next(iter(connection.getObject("Plate", written).listChildren()))
        image = well.getImage(1)
        assert (well.getImage(0).getROICount(), image.getROICount()) == (0, 4)
        found = connection.getRoiService().findByPlane(image.getId(), 0, 0, None).rois
        painted = np.zeros((24, 32), np.uint16)
        for roi in found:
            (mask,) = roi.copyShapes()
            assert (mask.theC.val, mask.theZ.val, mask.theT.val) == (1, 0, 0)
            x, y, width, height = (int(getattr(mask, name).val) for name in ("x", "y", "width", "height"))
            bits = np.unpackbits(np.frombuffer(mask.bytes, np.uint8))[: width * height].reshape(height, width)
            painted[y : y + height, x : x + width][bits == 1] = int(mask.textValue.val)
    np.testing.assert_array_equal(painted, some_labels())


def test_a_table_has_typed_columns_and_finds_its_images(omero: RunningServer, written: int) -> None:
    with gateway(omero) as connection:
        well = next(iter(connection.getObject("Plate", written).listChildren()))
        (annotation,) = well.listAnnotations(ns=TABLE)
        assert annotation.getFile().getMimetype() == "OMERO.tables"
        table = connection.c.sf.sharedResources().openTable(annotation.getFile()._obj)
        headers = [(type(one).__name__, one.name) for one in table.getHeaders()]
        n_rows = table.getNumberOfRows()
        columns = {one.name: list(one.values) for one in table.read(list(range(len(headers))), 0, n_rows).columns}
        assert table.getMetadata("job").val == job_of(written)
        table.close()
        images = [well.getImage(index).getId() for index in range(2)]
    assert headers == [
        ("ImageColumn", "Image"), ("WellColumn", "Well"), ("StringColumn", "well"), ("LongColumn", "field"),
        ("LongColumn", "t"), ("LongColumn", "label"), ("DoubleColumn", "area_um2"), ("BoolColumn", "round"),
    ]  # fmt: skip
    assert columns["Image"] == [images[0], images[0], images[1]]
    assert columns["Well"] == [well.getId()] * 3
    wanted = list(zip(*some_table()[1:], strict=True))
    assert columns["area_um2"][:2] == list(wanted[4][:2])
    assert np.isnan(columns["area_um2"][2])
    assert columns["round"] == list(wanted[5])


def test_other_programs_list_what_was_written_where_it_belongs(omero: RunningServer, written: int) -> None:
    with gateway(omero) as connection:
        plate = connection.getObject("Plate", written)
        well = next(iter(plate.listChildren()))
        (pipeline,) = plate.listAnnotations(ns=PIPELINE)
        assert b"".join(pipeline.getFileInChunks()).decode() == SOURCE
        (report,) = well.listAnnotations(ns=FILE)
        assert report.getFile().getName() == "report.json"
        assert report.getFile().getMimetype() == "application/json"
        assert b"".join(report.getFileInChunks()) == b'{"seed": 0}'
        (record,) = well.listAnnotations(ns=RESULTS)
        told = dict(record.getValue())
        assert {name: told[name] for name in ("job", "well", "attempt", "pipeline", "objects", "cells")} == {
            "job": job_of(written), "well": "A01", "attempt": "1", "pipeline": "nuclei", "objects": "4", "cells": "4",
        }  # fmt: skip
        assert told["pipeline source"] == SOURCE
        assert told["hcs-mesh version"] == "0.1.0"
        # Provenance hangs on the files as well.
        files = [pipeline.getId(), report.getId(), next(iter(well.listAnnotations(ns=TABLE))).getId()]
        query = f"select l.parent.id from AnnotationAnnotationLink l where l.child.id = {record.getId()}"
        linked = connection.getQueryService().projection(query, None, connection.SERVICE_OPTS)
        assert sorted(row[0].val for row in linked) == sorted(files)
        (labels,) = well.getImage(1).listAnnotations(ns=LABELS)
        assert dict(labels.getValue())["job"] == job_of(written)


def test_without_tables_the_file_itself_is_attached_and_the_well_says_so(tmp_path: Path) -> None:
    with running_server(tmp_path / "omero", setup=SETUP | {"has_tables": False}) as server:
        plate_id, pool = make_plate(server), pool_of(server)
        stored = commit(results_of(pool, tmp_path / "spool"), plate_id)
        pool.close()
        assert stored.notes == ("cells.csv is stored as a file: the server has no OMERO.tables",)
        with gateway(server) as connection:
            well = next(iter(connection.getObject("Plate", plate_id).listChildren()))
            names = [one.getFile().getName() for one in well.listAnnotations(ns=FILE)]
    assert sorted(names) == ["cells.csv", "report.json"]


def test_a_large_plane_is_written_in_tiles(tmp_path: Path) -> None:
    largest = {f"omero.pixeldata.max_plane_{side}": "16" for side in ("width", "height")}
    with running_server(tmp_path / "omero", setup=SETUP | {"config": largest}) as server:
        plate_id, pool = make_plate(server), pool_of(server)
        commit(results_of(pool, tmp_path / "spool"), plate_id)
        assert server.control.counts()["RawPixelsStore.setTile"] == 4
        derived = max(one.id for one in OmeroPlates(pool).plates())
        found = OmeroPlates(pool).with_places(derived)
        image = found.plate.image(0)
        expected = processed(image.field, found.plate.channels[image.c])
        np.testing.assert_array_equal(OmeroPixels(pool).read(found, image), expected)
        pool.close()
