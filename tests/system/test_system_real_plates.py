"""Plates that real microscopes wrote, through the commands that a user types."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from plate_homes import LocalHome, OmeroHome, PlateHome, omero_home

NF1_PATTERN = "{well}_01_{channel}_{field}_{_}_001.tif"
NF1_FIELDS = {"B07": ("B7", 3, 28), "D06": ("D6", 2, 27), "D07": ("D7", 1, 29)}
SBS_PATTERN = "Channel{channel}-{_}-{row}-{column}.tif"

HOMES = ["local", pytest.param("omero", marks=pytest.mark.needs("omero", "bioformats"))]
PATIENCE_S = 150.0
"""For one command that imports or computes: a server's first image wakes Java."""
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def pipelines(checkout: Path) -> Path:
    return checkout / "examples" / "pipelines"


@pytest.fixture(scope="module", params=HOMES)
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlateHome]:
    """A mesh, with its plates in the local repository or in OMERO."""
    if request.param == "local":
        yield LocalHome(request.getfixturevalue("mesh"))
        return
    mesh_up, jar = request.getfixturevalue("mesh_up"), request.getfixturevalue("bioformats_jar")
    with omero_home(mesh_up, tmp_path_factory.mktemp("home"), jar) as found:
        yield found


@pytest.fixture(scope="module")
def read_only_copy(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Copies a folder of real data to where nobody may write."""

    def copied(name: str) -> Path:
        folder = tmp_path_factory.mktemp("microscope") / Path(name).name
        shutil.copytree(shared_data / name, folder)
        for below, _, files in os.walk(folder, topdown=False):
            for file in files:
                Path(below, file).chmod(0o444)
            Path(below).chmod(0o555)
        return folder

    return copied


def contents(folder: Path) -> dict[str, tuple[str, int, int, int]]:
    """Every file below a folder: SHA-256, size, time of change and mode."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            stat = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.relative_to(folder).as_posix()] = (digest, stat.st_size, stat.st_mtime_ns, stat.st_mode)
    return found


def images_of(plate: dict[str, Any]) -> list[tuple[str, int, dict[str, Any]]]:
    """Well, field and image, for every image of `plate ID --json`."""
    return [
        (well, field["field"], image)
        for well, told in plate["wells"].items()
        for field in told["fields"]
        for image in field["images"]
    ]


def import_untouched(home: PlateHome, source: Path, *words: str) -> dict[str, Any]:
    """Import a read-only source: the stored files are its bytes, and nothing of it has changed."""
    before = contents(source)
    told = home.mesh("import", source, "--wait", *words, timeout_s=PATIENCE_S).value
    assert {"import", "state", "plates", "n_files", "n_bytes"} <= set(told)
    assert told["state"] == "done"
    assert contents(source) == before
    stored = {path: kept.read_bytes() for path, kept in home.stored(told, source).items()}
    assert told["n_files"] == len(stored)
    assert told["n_bytes"] == sum(map(len, stored.values()))
    digests = {path: hashlib.sha256(kept).hexdigest() for path, kept in stored.items()}
    assert digests == {path: before[path][0] for path in stored}
    return told


def test_a_database_layout_with_mixed_projections_keeps_them_apart(home: PlateHome, read_only_copy: Any) -> None:
    told = import_untouched(home, read_only_copy("imagexpress-projection-mix"))
    assert told["n_files"] == 96
    (plate_id,) = told["plates"]
    (line,) = [line for line in home.mesh("plates").value if line["id"] == plate_id]
    if home.kind == "omero":
        # An image of OMERO's has every z of every channel: the third has none, the fourth one.
        expected = {0: list(range(10)), 1: list(range(10)), 2: [], 3: []}
        projected: list[int] = []
    else:
        expected = {0: list(range(10)), 1: list(range(10)), 2: [], 3: [0]}
        projected = [0, 1, 2]
    n_images = 4 * (sum(map(len, expected.values())) + len(projected))
    assert (line["n_wells"], line["n_fields"], line["n_images"]) == (2, 4, n_images)
    images = images_of(home.mesh("plate", plate_id).value)
    assert {(well, field) for well, field, _ in images} == {(w, f) for w in ("E07", "E08") for f in (1, 2)}
    assert len({(image["path"], image["page"]) for _, _, image in images}) == n_images
    for place in {(well, field) for well, field, _ in images}:
        planes: dict[int, list[int]] = {c: [] for c in range(4)}
        projections = []
        for well, field, image in images:
            if (well, field) == place:
                if image["kind"] == "plane":
                    planes[image["c"]].append(image["z"])
                else:
                    projections.append(image["c"])
        assert {c: sorted(z) for c, z in planes.items()} == expected
        assert sorted(projections) == projected


def test_an_exported_plate_has_its_z_planes_and_its_projections(home: PlateHome, read_only_copy: Any) -> None:
    told = import_untouched(home, read_only_copy("metaxpress-htd-9987/9987_Plate_3433"))
    (plate_id,) = told["plates"]
    plate = home.mesh("plate", plate_id).value
    images = images_of(plate)
    assert set(plate["wells"]) == {"B02", "B03"}
    planes = {(well, f, i["c"], i["z"]) for well, f, i in images if i["kind"] == "plane"}
    projections = {(well, f, i["c"]) for well, f, i in images if i["kind"] == "projection"}
    assert planes == {(w, f, c, z) for w in ("B02", "B03") for f in (1, 2) for c in (0, 1) for z in (0, 1, 2)}
    if home.kind == "omero":
        # They are stored with the other files. Bio-Formats' reader passes them over: an image has no place for them.
        assert projections == set()
    else:
        assert projections == {(w, f, c) for w in ("B02", "B03") for f in (1, 2) for c in (0, 1)}
    assert len(images) == len(planes) + len(projections)


def test_several_plates_below_one_folder_are_all_found(home: PlateHome, read_only_copy: Any) -> None:
    told = import_untouched(home, read_only_copy("metaxpress-htd-9987"))
    names = {line["id"]: (line["n_wells"], line["n_images"]) for line in home.mesh("plates").value}
    n_projections = 0 if home.kind == "omero" else 8
    assert sorted(names[plate] for plate in told["plates"]) == [(1, 1), (2, 24 + n_projections)]


def test_a_harmony_export_is_the_well_that_its_index_names(home: PlateHome, read_only_copy: Any) -> None:
    told = import_untouched(home, read_only_copy("operetta-ball"))
    (plate_id,) = told["plates"]
    plate = home.mesh("plate", plate_id).value
    assert plate["name"] == "Test_Sample_BALL"
    assert (plate["n_rows"], plate["n_columns"]) == (16, 24)
    assert set(plate["wells"]) == {"C03"}
    assert [field["channels"] for field in plate["wells"]["C03"]["fields"]] == [["Fluorescein (FITC)"]] * 2
    assert {(i["c"], i["z"], i["t"], i["kind"]) for _, _, i in images_of(plate)} == {(0, 0, 0, "plane")}
    assert plate["pixel_size_um"] == pytest.approx(1.19595, rel=1e-4)


def test_a_record_of_cellvoyager_is_the_wells_that_it_names(home: PlateHome, read_only_copy: Any) -> None:
    told = import_untouched(home, read_only_copy("yokogawa-cv8000-minimal"))
    (plate_id,) = told["plates"]
    plate = home.mesh("plate", plate_id).value
    assert (plate["n_rows"], plate["n_columns"]) == (8, 12)
    places = {(well, field, i["c"], i["z"], i["t"]) for well, field, i in images_of(plate)}
    assert places == set(product(("D08", "E03", "F08"), (1, 2, 3, 4), (0, 1), (0, 1, 2, 3), (0,)))
    assert plate["pixel_size_um"] == pytest.approx(0.325)


def test_images_without_a_plate_are_listed_shown_and_analysed(
    home: PlateHome, read_only_copy: Any, pipelines: Path, tmp_path: Path
) -> None:
    told = import_untouched(home, read_only_copy("ome-tiff-companion"))
    if isinstance(home, OmeroHome):
        # They are images of OMERO's, and certified. The mesh knows images by their plate, and lists none without.
        assert told["plates"] == []
        assert home.images() == {"multi-channel.ome.tif": (3, 1, 1), "multifile": (1, 5, 1)}
        return
    mesh = home.mesh
    lines = {line["name"]: line for line in mesh("plates").value if line["id"] in told["plates"]}
    stack = mesh("plate", lines["multifile"]["id"]).value
    (field,) = stack["fields"]
    assert sorted(image["z"] for image in field["images"]) == [0, 1, 2, 3, 4]
    channels = lines["multi-channel.ome.tif"]["id"]
    (field,) = mesh("plate", channels).value["fields"]
    assert sorted(image["c"] for image in field["images"]) == [0, 1, 2]
    job = mesh("run", channels, pipelines / "nuclei.py", "--wait", timeout_s=PATIENCE_S).value
    assert job["state"] == "done"
    ((_, only),) = job["wells"].items()
    assert only["state"] == "done"
    assert only["files"]
    report = mesh("results", job["job"], "--out", tmp_path / "report", timeout_s=PATIENCE_S)
    assert report.code == 0, report.err


def test_a_single_ome_tiff_imports_as_an_image(home: PlateHome, read_only_copy: Any) -> None:
    folder = read_only_copy("ome-tiff-companion")
    told = home.mesh("import", folder / "multi-channel.ome.tif", "--wait", timeout_s=PATIENCE_S).value
    if home.kind == "omero":
        assert (told["state"], told["plates"]) == ("done", [])
        return
    (plate_id,) = told["plates"]
    plate = home.mesh("plate", plate_id).value
    assert plate["kind"] == "image"
    assert plate["wells"] == {}
    assert [len(field["images"]) for field in plate["fields"]] == [3]


def agreement(ours: NDArray[Any], theirs: NDArray[Any]) -> tuple[float, float]:
    """Return the foreground's intersection over union, and F1 of objects that overlap by half."""
    iou = np.count_nonzero((ours > 0) & (theirs > 0)) / np.count_nonzero((ours > 0) | (theirs > 0))
    n_ours, n_theirs = int(ours.max()), int(theirs.max())
    pairs = ours.astype(np.int64).ravel() * (n_theirs + 1) + theirs.ravel()
    shared = np.bincount(pairs, minlength=(n_ours + 1) * (n_theirs + 1)).reshape(n_ours + 1, n_theirs + 1)
    inside = shared[1:, 1:]
    union = shared.sum(axis=1)[1:, None] + shared.sum(axis=0)[None, 1:] - inside
    return iou, 2 * np.count_nonzero(inside / union >= 0.5) / (n_ours + n_theirs)


def test_the_nuclei_of_real_fields_are_those_that_their_authors_published(
    home: PlateHome, read_only_copy: Any, shared_data: Path, pipelines: Path
) -> None:
    mesh = home.mesh
    plate_id = mesh.imported(
        read_only_copy("nf1-cellpainting/Plate_2_images"), "--pattern", NF1_PATTERN, timeout_s=PATIENCE_S
    )
    job = mesh("run", plate_id, pipelines / "nuclei.py", "--wait", timeout_s=PATIENCE_S).value
    assert set(job["wells"]) == set(NF1_FIELDS)
    for well, (short, field, published) in NF1_FIELDS.items():
        told = job["wells"][well]
        assert told["state"] == "done"
        assert abs(told["n_objects"] - published) <= 2
        mask = shared_data / "nf1-cellpainting" / "Plate_2_masks" / f"{short}_01_1_{field}_DAPI_001_MaskNuclei.tiff"
        _, theirs = cv2.connectedComponents((tifffile.imread(mask) > 0).view(np.uint8), connectivity=4)
        (labels,) = [Path(file) for file in told["files"] if file.endswith(".ome.tiff")]
        assert labels.is_relative_to(home.results)
        ours = tifffile.imread(labels)
        assert len(np.unique(ours)) - 1 == told["n_objects"]
        iou, f1 = agreement(ours, theirs)
        assert iou >= 0.95
        assert f1 >= 0.95


def test_dosed_wells_are_told_from_the_others(
    home: PlateHome, read_only_copy: Any, pipelines: Path, tmp_path: Path
) -> None:
    mesh = home.mesh
    plate_id = mesh.imported(read_only_copy("sbs-translocation"), "--pattern", SBS_PATTERN, timeout_s=PATIENCE_S)
    job = mesh("run", plate_id, pipelines / "translocation.py", "--wait", timeout_s=PATIENCE_S).value
    ratios = {well: told["measurements"]["nucleus_ring_ratio"] for well, told in job["wells"].items()}
    assert set(ratios) == {"A01", "A12", "E01", "E12"}
    assert min(ratios["A12"], ratios["E01"]) > 4
    assert max(ratios["A01"], ratios["E12"]) < 1.5
    chosen = mesh(
        "run", plate_id, pipelines / "translocation.py", "--wells", "a1,E1", "--wait", timeout_s=PATIENCE_S
    ).value
    assert {well: told["measurements"]["nucleus_ring_ratio"] for well, told in chosen["wells"].items()} == {
        well: ratios[well] for well in ("A01", "E01")
    }
    out = tmp_path / "report"
    assert mesh("results", job["job"], "--out", out, timeout_s=PATIENCE_S).code == 0
    assert {path.suffix for path in out.iterdir()} >= {".csv", ".png", ".html"}
    (page,) = out.glob("*.html")
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*['\"]?(?:https?:)?//", page.read_text(encoding="utf-8"))
