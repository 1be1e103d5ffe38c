"""Results describe the image that they were computed on, also in a well of which images were deleted."""

from pathlib import Path
from typing import Any

import pytest
from omero_plates import logged_in, save_plate
from omero_results import pool_of, results_of, some_labels

from hcs_mesh.plates.local import seal_well, write_ome_tiff
from hcs_mesh.plates.model import Plate
from hcs_mesh.plates.omero.connection import Connection
from hcs_mesh.plates.omero.errors import OmeroNothingThere
from hcs_mesh.plates.omero.plates import read_plate
from hcs_mesh.plates.omero.targets import find_well
from hcs_mesh.plates.repository import ResultFile, StoredResult
from omero_server.running import RunningServer

pytestmark = pytest.mark.needs("omero")

SAMPLES = """
select ws.id from Well well join well.wellSamples ws where well.plate.id = :pid and well.column = 0 order by index(ws)
"""
IMAGES = "select pix.id, img.id from Pixels pix join pix.image img"
REGIONS = """
select distinct img.id from Roi roi join roi.image img join img.wellSamples ws join ws.well well
where well.plate.id = :pid
"""


def plate_without(server: RunningServer, at: int) -> int:
    """A plate of two wells with three images each; of the first well one was deleted."""
    import omero
    from omero.callbacks import CmdCallbackI
    from omero.rtypes import unwrap
    from omero.sys import ParametersI

    with logged_in(server, "ada") as client:
        plate_id = save_plate(client, "a gap", n_rows=1, n_columns=2, n_fields=3)
        parameters = ParametersI()
        parameters.addLong("pid", plate_id)
        rows = unwrap(client.getSession().getQueryService().projection(SAMPLES, parameters))
        request = omero.cmd.Delete2(targetObjects={"WellSample": [rows[at][0]]})
        callback = CmdCallbackI(client, client.getSession().submit(request))
        callback.loop(100, 500)
        assert isinstance(callback.getResponse(), omero.cmd.Delete2Response)
        callback.close(True)
    return plate_id


def computed_on(connection: Connection, plate: Plate) -> dict[int, int]:
    """The image at OMERO of each field of the first well, as planes are read."""
    image_of = {f"pixels/{pixels_id}": image_id for pixels_id, image_id in connection.rows(IMAGES)}
    return {image.field: image_of[image.file.partition("?")[0]] for image in plate.images(well="A01")}


@pytest.mark.parametrize("at", [0, 1])
def test_a_result_goes_to_the_image_that_it_was_computed_on(omero: RunningServer, tmp_path: Path, at: int) -> None:
    plate_id = plate_without(omero, at)
    pool = pool_of(omero)
    fields = pool.read(lambda connection: computed_on(connection, read_plate(connection, plate_id).plate))
    wells = pool.read(lambda connection: find_well(connection, plate_id, "A01"))
    assert len(fields) == 2
    assert {field: target.id for field, target in wells.images.items()} == fields
    gone = at + 1
    with pytest.raises(OmeroNothingThere, match=f"no field {gone}"):
        wells.of(gone)
    # As it is written: objects of the last field are regions of its image.
    results = results_of(pool, tmp_path / "spool")
    folder = results.results_folder(plate_id, "job-1", "A01", 1)
    write_ome_tiff(folder / "n.ome.tiff", some_labels(), labels=True)
    file = ResultFile(path="n.ome.tiff", kind="label", output="n", field=3, height=24, width=32, dtype="uint16")
    well: dict[str, Any] = {"job": "job-1", "plate_id": plate_id, "well": "A01", "attempt": 1}
    seal_well(folder, StoredResult(**well, n_objects=4, measurements=(), files=(file,)))
    results.commit_well(plate_id, "job-1", "A01", 1)
    assert pool.read(lambda connection: connection.rows(REGIONS, pid=plate_id)) == [[fields[3]]]
    pool.close()
