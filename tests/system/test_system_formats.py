"""Formats that are no folder of TIFFs, through the commands that a user types."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zarr_copies import as_zarr

from hcs_mesh.plates import plan, read_plane
from hcs_mesh.plates.synthetic import Recipe, write_plate


@pytest.fixture
def nuclei(checkout: Path) -> Path:
    return checkout / "examples" / "pipelines" / "nuclei.py"


def test_a_plate_of_ome_zarr_is_imported_and_analysed_like_the_same_one_of_tiff(
    mesh: Any, tmp_path: Path, nuclei: Path
) -> None:
    write_plate(tmp_path / "tiff", Recipe(name="Tiny", n_rows=1, n_columns=2, n_fields=2, size_px=256))
    as_zarr(tmp_path / "tiff", tmp_path / "same.zarr")
    before = {path: path.read_bytes() for path in (tmp_path / "same.zarr").rglob("*") if path.is_file()}
    told = mesh("import", tmp_path / "same.zarr", "--wait").value
    assert (told["state"], told["n_files"]) == ("done", len(before))
    stored = mesh.data / "repository" / "imports" / told["import"] / "files"
    for path, content in before.items():
        assert (stored / path.relative_to(tmp_path / "same.zarr")).read_bytes() == content
    (zarred,) = told["plates"]
    tiffs = mesh.imported(tmp_path / "tiff")
    shown = mesh("plate", zarred).value
    assert (shown["name"], set(shown["wells"])) == ("Zarred", {"A01", "A02"})
    results = [mesh("run", plate, nuclei, "--wait").value for plate in (zarred, tiffs)]
    counts = [{well: one["n_objects"] for well, one in result["wells"].items()} for result in results]
    assert counts[0] == counts[1]
    assert min(counts[0].values()) > 0


def test_a_microscopes_container_is_stored_and_listed_without_a_plate(mesh: Any, tmp_path: Path) -> None:
    (tmp_path / "scan.czi").write_bytes(b"ZISRAWFILE" + bytes(1000))
    n_plates = len(mesh("plates").value)
    told = mesh("import", tmp_path / "scan.czi", "--wait").value
    assert (told["state"], told["plates"], told["n_files"]) == ("done", [], 1)
    assert told["import"] in [one["import"] for one in mesh("imports").value]
    stored = mesh.data / "repository" / "imports" / told["import"] / "files" / "scan.czi"
    assert stored.read_bytes() == (tmp_path / "scan.czi").read_bytes()
    assert len(mesh("plates").value) == n_plates
    with closing(sqlite3.connect(f"file:{mesh.data}/repository/catalogue.sqlite?mode=ro", uri=True)) as catalogue:
        planners = catalogue.execute("SELECT planner FROM filesets").fetchall()
    assert ("files",) in planners


def test_anything_is_stored_where_the_user_says_so(mesh: Any, tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in ("notes.txt", ".hidden/table.csv"):
        (tmp_path / name).write_text(name)
    told = mesh("import", tmp_path, "--as-files", "--wait").value
    assert (told["state"], told["plates"], told["n_files"]) == ("done", [], 2)
    stored = mesh.data / "repository" / "imports" / told["import"] / "files"
    assert (stored / ".hidden" / "table.csv").read_text() == ".hidden/table.csv"


@pytest.fixture(scope="module")
def mesh_with_jar(mesh_up: Any, bioformats_jar: Path) -> Iterator[Any]:
    with mesh_up(more_settings=f'\n[bioformats]\njar = "{bioformats_jar}"\n') as mesh:
        yield mesh


def write_ics(path: Path, planes: np.ndarray) -> None:
    """Planes (C, Z, Y, X) of uint16 as the Image Cytometry Standard, version 2.0, keeps them."""
    n_c, n_z, height, width = planes.shape
    lines = (
        *("", "ics_version\t2.0", "filename\tx", "layout\tparameters\t5", "layout\torder\tbits\tx\ty\tz\tch"),
        f"layout\tsizes\t16\t{width}\t{height}\t{n_z}\t{n_c}",
        *("layout\tcoordinates\tvideo", "layout\tsignificant_bits\t16", "representation\tformat\tinteger"),
        *("representation\tsign\tunsigned", "representation\tcompression\tuncompressed"),
        *("representation\tbyte_order\t1\t2", "parameter\tscale\t1\t0.5\t0.5\t1\t1"),
        *("parameter\tunits\tbits\tmicrometers\tmicrometers\tmicrometers\tundefined", "end", ""),
    )
    path.write_bytes(b"\t" + "\n".join(lines).encode() + planes.astype("<u2").tobytes())


READ = """
import resource, sys
import numpy as np
from pathlib import Path
from hcs_mesh.config.format_settings import BioformatsSettings
from hcs_mesh.plates import plan, read_plane
from hcs_mesh.plates.java_machine import use_bioformats

jar, source, written = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
use_bioformats(BioformatsSettings(jar=jar))
found = plan(Path(source))
(plate,) = found.plates
assert (found.filesets[0].planner, plate.kind, plate.n_images, plate.pixel_size_um) == ("bio-formats", "image", 6, 0.5)
pixels = np.load(written)
for image in plate.images():
    np.testing.assert_array_equal(read_plane(Path(found.root), image.file, image.page), pixels[image.c, image.z])
"""


@pytest.mark.needs("bioformats")
def test_bio_formats_reads_what_was_written_within_the_inspectors_memory(bioformats_jar: Path, tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 50 * 70, dtype=np.uint16).reshape(2, 3, 50, 70)
    write_ics(tmp_path / "one.ics", pixels)
    np.save(tmp_path / "one.npy", pixels)
    arguments = [str(bioformats_jar), str(tmp_path / "one.ics"), str(tmp_path / "one.npy")]
    ended = subprocess.run(
        [sys.executable, "-P", "-c", READ, *arguments], env=os.environ, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.timeout(180)
@pytest.mark.needs("bioformats")
def test_an_image_of_bio_formats_is_imported_and_analysed(mesh_with_jar: Any, tmp_path: Path, nuclei: Path) -> None:
    write_plate(tmp_path / "tiff", Recipe(name="Tiny", n_rows=1, n_columns=1, n_fields=1, size_px=256))
    found = plan(tmp_path / "tiff")
    images = sorted(found.plates[0].images(), key=lambda image: image.c)
    planes = np.stack([read_plane(Path(found.root), image.file, image.page) for image in images])
    write_ics(tmp_path / "same.ics", planes[:, None])
    tiff = mesh_with_jar.imported(tmp_path / "tiff")
    ics = mesh_with_jar.imported(tmp_path / "same.ics")
    results = [mesh_with_jar("run", plate, nuclei, "--wait").value for plate in (ics, tiff)]
    counts = [next(iter(result["wells"].values()))["n_objects"] for result in results]
    assert counts[0] == counts[1] > 0
