"""What an import leaves behind is said once, a line for each reason."""

from hcs_mesh.actors.imports.life import ImportLife
from hcs_mesh.actors.imports.records import Accepted, Settled
from hcs_mesh.messages.imports import ImportOrder
from hcs_mesh.plates.planners.plan import THUMBNAIL, LeftOut, Plan


def test_files_that_stay_behind_are_counted_by_reason() -> None:
    left_out = (
        *(LeftOut(f"thumb{n}.tif", THUMBNAIL) for n in range(96)),
        *(LeftOut(name, "belonging to no plate") for name in ("LICENSE", "SOURCE.md", "a.txt", "b.txt")),
        LeftOut("x.tif", "a link to a folder"),
    )
    life = ImportLife(Accepted(import_id="import-0001", at_unix_s=1.0, key="k", order=ImportOrder(path="/plate")))
    life.apply(Settled(import_id="import-0001", at_unix_s=2.0, plan=Plan(left_out=left_out), files=()))
    assert life.status().notes == (
        "96 thumbnails stayed behind",
        "4 files stayed behind, belonging to no plate: LICENSE, SOURCE.md, a.txt, ...",
        "1 file stayed behind, a link to a folder: x.tif",
    )
