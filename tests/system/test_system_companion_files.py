"""Companion files in front of Bio-Formats itself, which is what OMERO reads them with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from companions import NF1, STACKS, TRANSLOCATION, write_stacks

READ = """
import io, sys
from pathlib import Path
import numpy as np
from companions import outlined
from hcs_mesh.config.format_settings import BioformatsSettings
from hcs_mesh.plates import plan, read_plane
from hcs_mesh.plates.java_machine import loci, use_bioformats
from hcs_mesh.plates.omero.companion import with_companions
from hcs_mesh.plates.planners.ome_xml import parse_ome
from hcs_mesh.plates.wells import well_label

jar, source, pattern = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
use_bioformats(BioformatsSettings(jar=jar))
found = plan(source, pattern=pattern)
(companion,) = with_companions(outlined(found), "k")[1].values()
(source / companion.path).write_bytes(companion.data)
(plate,) = companion.plates
package = loci()
service = package.common.services.ServiceFactory().getInstance(package.formats.services.OMEXMLService)
store = service.createOMEXMLMetadata()
reader = package.formats.ImageReader()
reader.setMetadataStore(store)
reader.setId(str(source / companion.path))
assert str(reader.getFormat()) == "OME-TIFF"
xml = str(service.getOMEXML(store))
assert ("Stored, and not shown: B02 field 5: 3 of 9 planes." in xml) == bool(plate.notes)
ome = parse_ome(io.BytesIO(xml.encode()), source="Bio-Formats")
series = {image.id: number for number, image in enumerate(ome.images)}
(told,) = ome.plates
assert (told.name, told.n_rows, told.n_columns) == (plate.name, plate.n_rows, plate.n_columns)
wells = {well_label(*at): ids for at, ids in told.wells.items()}
assert {well: len(ids) for well, ids in wells.items()} == {well: len(plate.fields(well)) for well in plate.wells}
assert all(image.channels[:image.n_c] == plate.channels[:image.n_c] for image in ome.images)
assert sum(image.n_c * image.n_z * image.n_t for image in ome.images) == plate.n_images
for image in plate.images():
    reader.setSeries(series[wells[image.well][plate.fields(image.well).index(image.field)]])
    index = reader.getIndex(image.z, image.c, image.t)
    order = "<" if reader.isLittleEndian() else ">"
    pixels = np.frombuffer(bytes(reader.openBytes(index)), np.dtype(image.dtype).newbyteorder(order))
    np.testing.assert_array_equal(pixels.reshape(image.height, image.width), read_plane(source, image.file, image.page))
print(plate.n_images, len(reader.getUsedFiles()))
"""


def read_by_bioformats(jar: Path, source: Path, pattern: str) -> list[int]:
    """How many planes of the told plate Bio-Formats gave as the mesh reads them, and how many files it used."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", READ, str(jar), str(source), pattern],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[1]), *sys.path))},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ended.returncode == 0, ended.stderr
    return [int(one) for one in ended.stdout.split()]


@pytest.mark.timeout(180)
@pytest.mark.needs("bioformats")
@pytest.mark.parametrize(("source", "pattern", "n_planes"), [(*NF1, 9), (*TRANSLOCATION, 8)])
def test_bio_formats_reads_a_real_plate_from_its_companion(
    bioformats_jar: Path, shared_data: Path, tmp_path: Path, source: str, pattern: str, n_planes: int
) -> None:
    copy = shutil.copytree(shared_data / source, tmp_path / source)
    assert read_by_bioformats(bioformats_jar, copy, pattern) == [n_planes, n_planes + 1]


@pytest.mark.timeout(180)
@pytest.mark.needs("bioformats")
def test_bio_formats_reads_stacks_in_folders_of_which_some_planes_are_missing(
    bioformats_jar: Path, tmp_path: Path
) -> None:
    source = write_stacks(tmp_path / "stacks")
    # It refuses an image that lacks a plane: such a field is told as far as it is whole.
    (source / "t2" / "B2_s5_GFP.tif").unlink()
    assert read_by_bioformats(bioformats_jar, source, STACKS)[0] == 48 - 6
