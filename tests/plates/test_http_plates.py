"""Plates that others serve by HTTP: read as if they lay here, and kept apart from what a server may do wrong."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served_plates import Server, served_pixels, serving, write_field, write_group, write_served_plate
from waiting import eventually

from hcs_mesh.plates import MetadataError, Plate, UnreadableImage, plan, read_plane
from hcs_mesh.plates.errors import PlaceAway, PlaceRefused
from hcs_mesh.plates.http_fetch import HttpFetcher, Limits, Wanted
from hcs_mesh.plates.http_plates import HttpPlanes, HttpPlate, HttpPlates, address
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.plates.planners.served_hierarchy import ServedHierarchy
from hcs_mesh.plates.planners.zarr_metadata import parse_array

FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])
METADATA = {2: ".zattrs", 3: "zarr.json"}
NUMBER = 1_000_000_001
FIRST_CHUNK = {2: "p.zarr/A/1/0/0/0/0/0/0", 3: "p.zarr/A/1/0/0/c/0/0/0/0"}


@pytest.fixture
def fetcher() -> Iterator[HttpFetcher]:
    fetcher = HttpFetcher(Limits(answer_s=20.0, first_wait_s=0.01))
    yield fetcher
    fetcher.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


def places(server: Server, fetcher: HttpFetcher, name: str = "p.zarr") -> HttpPlates:
    return HttpPlates({NUMBER: HttpPlate("served", f"{server.url}/{name}")}, fetcher)


def served(server: Server, fetcher: HttpFetcher, name: str = "p.zarr") -> Plate:
    return places(server, fetcher, name).plate(NUMBER)


@FORMATS
def test_a_served_plate_is_what_it_would_be_if_it_lay_here(
    server: Server, fetcher: HttpFetcher, tmp_path: Path, zarr_format: int
) -> None:
    write_served_plate(tmp_path / "p.zarr", zarr_format)
    (fileset,) = plan(tmp_path / "p.zarr").filesets
    (here,) = fileset.plates
    plate = served(server, fetcher)
    assert list(plate.images()) == list(here.images())
    assert (plate.wells, plate.channels, plate.n_rows, plate.n_columns) == (here.wells, here.channels, 2, 2)
    assert (plate.id, plate.name, plate.root) == (NUMBER, "served", f"{server.url}/p.zarr")
    read = HttpPlanes(fetcher)
    for image in plate.images():
        well = f"{image.well[0]}/{int(image.well[1:])}"
        plane = read(plate.root, image.file, image.page)
        np.testing.assert_array_equal(plane, served_pixels(well, image.field - 1)[image.c, image.z])
        out = np.zeros_like(plane)
        assert read(plate.root, image.file, image.page, out=out) is out
        np.testing.assert_array_equal(out, plane)


def test_a_real_image_is_read_as_from_the_disk(
    server: Server, fetcher: HttpFetcher, shared_data: Path, tmp_path: Path
) -> None:
    image = shared_data / "ngff-real-image" / "ngff_example" / "my_image"
    shutil.copytree(image, tmp_path / "p.zarr/A/1/0")
    write_group(tmp_path / "p.zarr", {"plate": {"wells": [{"path": "A/1"}]}}, 2)
    write_group(tmp_path / "p.zarr/A/1", {"well": {"images": [{"path": "0"}]}}, 2)
    (fileset,) = plan(tmp_path / "p.zarr").filesets
    (here,) = fileset.plates
    plate, read = served(server, fetcher), HttpPlanes(fetcher)
    assert list(plate.images()) == list(here.images())
    assert (plate.pixel_size_um, plate.channels) == (here.pixel_size_um, here.channels)
    for one in here.images():
        on_disk = read_plane(tmp_path / "p.zarr", one.file, one.page)
        np.testing.assert_array_equal(read(plate.root, one.file, one.page), on_disk)


def test_a_plate_of_the_validators_examples_has_no_chunk_and_says_so(
    server: Server, fetcher: HttpFetcher, shared_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(shared_data / "ngff-validator-examples/valid/plate-01.zarr", tmp_path / "p.zarr")
    plate = served(server, fetcher)
    assert plate.wells == ("A01", "A02", "B01", "B02")
    for image in plate.images():
        with pytest.raises(UnreadableImage, match="every chunk of plane 0 is missing"):
            HttpPlanes(fetcher)(plate.root, image.file, image.page)


def test_of_a_sharded_array_the_parts_are_fetched(server: Server, fetcher: HttpFetcher, tmp_path: Path) -> None:
    write_served_plate(tmp_path / "p.zarr", 3, shards=(1, 3, 12, 16))
    plate, read = served(server, fetcher), HttpPlanes(fetcher)
    shard = "p.zarr/A/1/0/0/c/0/0/0/0"
    assert (tmp_path / shard).is_file()
    np.testing.assert_array_equal(read(plate.root, "A/1/0/0/zarr.json", 1), served_pixels("A/1", 0)[0, 1])
    # Whether it is there, its index, and each chunk of the plane.
    assert server.asked[shard] > 2
    server.fail_always(shard, "whole")
    with pytest.raises(UnreadableImage, match="no parts of files"):
        read(plate.root, "A/1/0/0/zarr.json", 0)


@FORMATS
def test_an_absent_chunk_is_the_fill_value_where_others_of_its_plane_are_there(
    server: Server, fetcher: HttpFetcher, tmp_path: Path, zarr_format: int
) -> None:
    write_served_plate(tmp_path / "p.zarr", zarr_format)
    (tmp_path / FIRST_CHUNK[zarr_format]).unlink()
    plate, read = served(server, fetcher), HttpPlanes(fetcher)
    file = next(plate.images()).file
    expected = served_pixels("A/1", 0)[0, 0].copy()
    expected[:6, :8] = 0
    np.testing.assert_array_equal(read(plate.root, file, 0), expected)
    shutil.rmtree((tmp_path / FIRST_CHUNK[zarr_format]).parents[2])
    with pytest.raises(UnreadableImage, match="every chunk of plane 0 is missing"):
        read(plate.root, file, 0)


def test_a_chunk_is_missing_where_its_array_declares_no_fill_value(
    server: Server, fetcher: HttpFetcher, tmp_path: Path
) -> None:
    write_served_plate(tmp_path / "p.zarr", 2)
    (tmp_path / FIRST_CHUNK[2]).unlink()
    metadata = tmp_path / "p.zarr/A/1/0/0/.zarray"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "fill_value": None}))
    plate = served(server, fetcher)
    with pytest.raises(UnreadableImage, match="a chunk of plane 0 is missing"):
        HttpPlanes(fetcher)(plate.root, "A/1/0/0/.zarray", 0)


@pytest.mark.parametrize("how", ["truncated", "503", "500", "429"])
def test_what_may_pass_is_tried_again(server: Server, fetcher: HttpFetcher, tmp_path: Path, how: str) -> None:
    write_served_plate(tmp_path / "p.zarr", 2)
    server.fail(FIRST_CHUNK[2], how, how)
    server.fail("p.zarr/.zattrs", how)
    plate = served(server, fetcher)
    plane = HttpPlanes(fetcher)(plate.root, "A/1/0/0/.zarray", 0)
    np.testing.assert_array_equal(plane, served_pixels("A/1", 0)[0, 0])
    assert server.asked[FIRST_CHUNK[2]] == 3


@pytest.mark.parametrize("how", ["truncated", "503"])
def test_what_does_not_pass_is_no_fault_of_the_plane(
    server: Server, fetcher: HttpFetcher, tmp_path: Path, how: str
) -> None:
    write_served_plate(tmp_path / "p.zarr", 2)
    server.fail_always(FIRST_CHUNK[2], how)
    plate = served(server, fetcher)
    with pytest.raises(PlaceAway, match="3 times") as caught:
        HttpPlanes(fetcher)(plate.root, "A/1/0/0/.zarray", 0)
    assert isinstance(caught.value, ConnectionError)


@pytest.mark.parametrize("how", ["huge", "endless"])
def test_a_body_larger_than_its_chunk_can_be_is_not_taken(
    server: Server, fetcher: HttpFetcher, tmp_path: Path, how: str
) -> None:
    write_served_plate(tmp_path / "p.zarr", 2)
    server.fail_always(FIRST_CHUNK[2], how)
    plate = served(server, fetcher)
    with pytest.raises(UnreadableImage, match="are due there"):
        HttpPlanes(fetcher)(plate.root, "A/1/0/0/.zarray", 0)
    server.fail_always("p.zarr/.zattrs", how)
    with pytest.raises(MetadataError, match="are due there"):
        served(server, fetcher)


def test_an_answer_that_does_not_end_is_broken_off(server: Server, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"metadata")
    server.fail("p", "stuck", "stuck", "stuck")
    hasty = HttpFetcher(Limits(answer_s=0.2, n_tries=3, first_wait_s=0.01))
    with pytest.raises(PlaceAway, match=r"not whole after 0\.2 s, 3 times"):
        hasty.get(Wanted(f"{server.url}/p", 100))
    hasty.close()


def test_another_server_is_not_gone_to(server: Server, fetcher: HttpFetcher, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"here")
    with serving(tmp_path) as other:
        server.fail_always("p", f"to {other.url}/p")
        with pytest.raises(PlaceRefused, match="leads to another server"):
            fetcher.get(Wanted(f"{server.url}/p", 100))
        assert not other.asked
    server.fail_always("q", "to /r")
    server.fail_always("r", "to p")
    server.fail("p")
    assert fetcher.get(Wanted(f"{server.url}/q", 100)) == b"here"
    server.fail_always("r", "to q")
    with pytest.raises(PlaceRefused, match="passed on"):
        fetcher.get(Wanted(f"{server.url}/q", 100))


@pytest.mark.parametrize(("how", "told"), [("packed", "compresses"), ("403", "answers 403"), ("401", "answers 401")])
def test_what_is_not_handed_out_as_it_is_is_refused(
    server: Server, fetcher: HttpFetcher, tmp_path: Path, how: str, told: str
) -> None:
    (tmp_path / "p").write_bytes(b"here")
    server.fail_always("p", how)
    with pytest.raises(PlaceRefused, match=told):
        fetcher.get(Wanted(f"{server.url}/p", 100))
    assert server.asked["p"] == 1


def test_a_server_that_was_away_is_asked_again(tmp_path: Path, fetcher: HttpFetcher) -> None:
    write_served_plate(tmp_path / "p.zarr", 3)
    read = HttpPlanes(fetcher)
    with serving(tmp_path) as server:
        port, plate = server.server_port, served(server, fetcher)
        first, *_, last = plate.images()
        read(plate.root, first.file, first.page)
    with pytest.raises(PlaceAway):
        read(plate.root, last.file, last.page)
    with serving(tmp_path, port):
        np.testing.assert_array_equal(read(plate.root, last.file, last.page), served_pixels("B/2", 1)[last.c, last.z])


def test_an_address_without_a_plate_is_told(server: Server, fetcher: HttpFetcher, tmp_path: Path) -> None:
    with pytest.raises(PlateNotFound, match=r"no OME-Zarr is served at .*/gone\.zarr"):
        served(server, fetcher, "gone.zarr")
    with pytest.raises(PlateNotFound, match="not among"):
        places(server, fetcher).plate(NUMBER + 1)
    write_field(tmp_path / "image.zarr", served_pixels("A/1", 0), 2)
    with pytest.raises(MetadataError, match="no OME-Zarr plate"):
        served(server, fetcher, "image.zarr")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b'{"plate": 4}', b'{"plate": {"wells": [{}]}}', b"{"])
def test_damaged_metadata_of_a_plate_are_told(
    server: Server, fetcher: HttpFetcher, tmp_path: Path, content: bytes
) -> None:
    write_served_plate(tmp_path / "p.zarr", 2)
    (tmp_path / "p.zarr/.zattrs").write_bytes(content)
    with pytest.raises(MetadataError):
        served(server, fetcher)


def test_a_damaged_field_costs_no_other(server: Server, fetcher: HttpFetcher, tmp_path: Path) -> None:
    write_served_plate(tmp_path / "p.zarr", 2)
    for path, change in (
        ("A/1/0/0/.zarray", {"compressor": {"id": "pickle"}}),
        ("A/1/1/0/.zarray", {"shape": [1_000_000, 1_000_000, 12, 16]}),
    ):
        file = tmp_path / "p.zarr" / path
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    (tmp_path / "p.zarr/B/2/0/.zattrs").unlink()
    plate = served(server, fetcher)
    assert {(image.well, image.field) for image in plate.images()} == {("B02", 2)}
    assert {(one.well, one.field) for one in plate.missing} == {("A01", 1), ("A01", 2), ("B02", 1)}
    with pytest.raises(UnreadableImage, match="codec 'pickle'"):
        HttpPlanes(fetcher)(plate.root, "A/1/0/0/.zarray", 0)


def test_a_field_that_is_listed_without_end_is_refused(server: Server, fetcher: HttpFetcher, tmp_path: Path) -> None:
    write_served_plate(tmp_path / "p.zarr", 2)
    write_group(tmp_path / "p.zarr/A/1", {"well": {"images": [{"path": "0"}] * 250_001}}, 2)
    with pytest.raises(MetadataError, match=r"lists over 250,000 fields|are due there"):
        served(server, fetcher)


def test_what_metadata_names_outside_of_the_plate_is_not_asked_for(
    server: Server, fetcher: HttpFetcher, tmp_path: Path
) -> None:
    write_served_plate(tmp_path / "p.zarr", 2)
    write_group(tmp_path / "p.zarr/A/1", {"well": {"images": [{"path": "../../../other/0"}, {"path": "1"}]}}, 2)
    named: dict[str, Any] = {"axes": [{"name": name, "type": "space"} for name in "yx"]}
    for path in ("../../../../other/0", "http://127.0.0.1:1/x", "0?x=1#y"):
        write_group(tmp_path / "p.zarr/B/2/0", {"multiscales": [{**named, "datasets": [{"path": path}]}]}, 2)
        served(server, fetcher)
    assert all(path.startswith("p.zarr/") and ".." not in path for path in server.asked)
    # It is a name as any other, and no question.
    assert server.asked["p.zarr/B/2/0/0?x=1#y/.zarray"] == 1


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "a//b", ""])
def test_no_address_leads_out_of_the_plate(path: str) -> None:
    with pytest.raises(UnreadableImage, match="no name of a file"):
        address("http://127.0.0.1/p.zarr", path)


def test_the_fields_of_a_plate_have_no_more_planes_together_than_any_plate() -> None:
    zarr = ServedHierarchy("p.zarr", lambda paths: [None for _ in paths])
    metadata = {"zarr_format": 2, "shape": [600_000, 12, 16], "chunks": [1, 12, 16], "dtype": "<u2", "fill_value": 0}
    array = parse_array(metadata, source=".zarray")
    assert zarr.chunks("A/1/0/0/.zarray", array, [0])[(599_999,)] > 0
    with pytest.raises(MetadataError, match="claims over 1,000,000 planes"):
        zarr.chunks("A/1/1/0/.zarray", array, [0])


@FORMATS
def test_the_stamp_is_another_once_the_plate_lists_another_well_and_once_a_day(
    server: Server, fetcher: HttpFetcher, tmp_path: Path, zarr_format: int
) -> None:
    write_served_plate(tmp_path / "p.zarr", zarr_format)
    now_s = 1_000_000.0
    source = HttpPlates({NUMBER: HttpPlate("served", f"{server.url}/p.zarr")}, fetcher, clock=lambda: now_s)
    before = source.stamp(NUMBER)
    assert source.stamp(NUMBER) == before
    now_s += 86_400.0
    assert source.stamp(NUMBER) != before
    now_s -= 86_400.0
    file = tmp_path / "p.zarr" / METADATA[zarr_format]
    file.write_text(file.read_text().replace("A/1", "A/3"))
    assert source.stamp(NUMBER) != before
    file.unlink()
    with pytest.raises(PlateNotFound):
        source.stamp(NUMBER)


@pytest.mark.anyio
async def test_who_waits_for_an_answer_is_let_go_at_the_end(server: Server, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"metadata")
    server.fail_always("p", "stuck")
    fetcher = HttpFetcher(Limits(answer_s=3600.0))
    asking = asyncio.ensure_future(asyncio.to_thread(fetcher.get, Wanted(f"{server.url}/p", 100)))
    await eventually(lambda: server.asked["p"], 30)
    await asyncio.to_thread(fetcher.let_go)
    with pytest.raises(PlaceAway, match="stopping"):
        await asking
    server.fail("p")
    assert await asyncio.to_thread(fetcher.get, Wanted(f"{server.url}/p", 100)) == b"metadata"
    server.fail_always("p", "stuck")
    asking = asyncio.ensure_future(asyncio.to_thread(fetcher.get, Wanted(f"{server.url}/p", 100)))
    await eventually(lambda: server.asked["p"] == 3, 30)
    await asyncio.to_thread(fetcher.close)
    with pytest.raises(PlaceAway, match="stopping"):
        await asking
