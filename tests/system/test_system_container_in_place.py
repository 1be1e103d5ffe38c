"""Bio-Formats itself, on a container of two files that was imported in place."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

READ = """
import sys
import numpy as np
from pathlib import Path
from linked_plates import adopted
from hcs_mesh.config.format_settings import BioformatsSettings
from hcs_mesh.plates import read_image
from hcs_mesh.plates.errors import NoLongerAsImported
from hcs_mesh.plates.java_machine import use_bioformats
from hcs_mesh.plates.local import LocalRepository

jar, source, written, data = sys.argv[1:]
use_bioformats(BioformatsSettings(jar=jar))
plate = adopted(LocalRepository(Path(data)), Path(source))
np.testing.assert_array_equal(read_image(plate, plate.image(0)), np.load(written))
pixels = Path(source, "one.ids")
pixels.rename(pixels.with_name("moved"))
pixels.symlink_to(pixels.with_name("moved"))
try:
    read_image(plate, plate.image(0))
except NoLongerAsImported as refused:
    print(refused)
"""


def write_ics(folder: Path, plane: np.ndarray) -> None:
    """A plane of uint16 as the Image Cytometry Standard, version 1.0, keeps it: its pixels in a file of their own."""
    folder.mkdir()
    height, width = plane.shape
    lines = (
        *("", "ics_version\t1.0", "filename\tone", "layout\tparameters\t3", "layout\torder\tbits\tx\ty"),
        *(f"layout\tsizes\t16\t{width}\t{height}", "layout\tcoordinates\tvideo", "layout\tsignificant_bits\t16"),
        *("representation\tformat\tinteger", "representation\tsign\tunsigned"),
        *("representation\tcompression\tuncompressed", "representation\tbyte_order\t1\t2", "end", ""),
    )
    (folder / "one.ics").write_bytes(b"\t" + "\n".join(lines).encode())
    (folder / "one.ids").write_bytes(plane.astype("<u2").tobytes())


@pytest.mark.needs("bioformats")
def test_bio_formats_reads_a_container_in_place_until_one_of_its_files_is_a_link(
    bioformats_jar: Path, tmp_path: Path, checkout: Path
) -> None:
    plane = np.arange(50 * 70, dtype=np.uint16).reshape(50, 70)
    write_ics(tmp_path / "anna", plane)
    np.save(tmp_path / "one.npy", plane)
    arguments = [str(path) for path in (bioformats_jar, tmp_path / "anna", tmp_path / "one.npy", tmp_path / "data")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(checkout / "tests"), *sys.path))}
    ended = subprocess.run(
        [sys.executable, "-P", "-c", READ, *arguments], env=environment, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    assert f"it was imported in place, and {tmp_path / 'anna' / 'one.ids'} is a link by now" in ended.stdout
