"""Plates that lost images: what was not analysed is told by the run, the job and the report."""

import json
import os
import shutil
from pathlib import Path
from typing import Any


def test_a_stack_with_lost_planes_is_never_projected_without_a_word(
    mesh: Any, shared_data: Path, tmp_path: Path, checkout: Path
) -> None:
    original = next((shared_data / "metaxpress-htd-9987").rglob("9987_Plate_3433"))
    plate = tmp_path / original.name
    shutil.copytree(original, plate)
    (step,) = plate.rglob("ZStep_2")
    (step / "9987_B02_s1_w2.TIF").unlink()
    cut = step / "9987_B02_s2_w1.TIF"
    cut.write_bytes(cut.read_bytes()[:300])
    (step / "9987_B03_s1_w1.TIF").write_bytes(b"")
    (step / "9987_B03_s1_w2.TIF").write_bytes(os.urandom(4096))
    plate_id = mesh.imported(plate)
    pipeline = checkout / "examples" / "pipelines" / "nuclei.py"
    job = json.loads(mesh("run", plate_id, pipeline, "--wait").out)
    assert {well: told["state"] for well, told in job["wells"].items()} == {"B02": "done", "B03": "done"}
    notes = {well: " ".join(told["notes"]) for well, told in job["wells"].items()}
    # nuclei.py reads the first channel.
    assert "field 2: not analysed: 1 of 3 declared images is missing or damaged" in notes["B02"]
    assert "9987_B02_s2_w1.TIF" in notes["B02"]
    assert "field 1" not in notes["B02"]
    assert "field 1: not analysed: 1 of 3 declared images is missing or damaged" in notes["B03"]
    told = mesh("results", job["job"], "--out", tmp_path / "out").value
    assert "9987_B03_s1_w1.TIF" in Path(told["report"]).read_text(encoding="utf-8")
    assert "9987_B03_s1_w1.TIF" in Path(told["wells"]).read_text(encoding="utf-8")


def test_a_well_that_lost_every_image_fails_and_does_not_vanish(
    mesh: Any, shared_data: Path, tmp_path: Path, checkout: Path
) -> None:
    original = next((shared_data / "metaxpress-htd-9987").rglob("9987_Plate_3433"))
    plate = tmp_path / original.name
    shutil.copytree(original, plate)
    for image in plate.rglob("9987_B03_*"):
        image.unlink()
    plate_id = mesh.imported(plate)
    pipeline = checkout / "examples" / "pipelines" / "nuclei.py"
    ended = mesh("run", plate_id, pipeline, "--wait")
    assert ended.code == 1
    job = json.loads(ended.out)
    assert job["wells"]["B02"]["state"] == "done"
    assert job["wells"]["B03"]["state"] == "failed"
    assert "well B03 gives no result: 3 of 3 declared images are missing" in job["wells"]["B03"]["error"]
    alone = json.loads(mesh("run", plate_id, pipeline, "--wells", "B03", "--wait").out)
    assert alone["wells"]["B03"]["state"] == "failed"


def test_a_file_whose_name_is_not_text_is_named_and_nothing_falls_over(mesh: Any, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.ome.tif")
    path.write_bytes(b"")
    refused = mesh("import", tmp_path, "--wait")
    assert refused.code == 1
    assert "udcff.ome.tif" in refused.out + refused.err
    assert "is not UTF-8" in refused.out + refused.err
    assert "udcff.ome.tif" in mesh("import", path, "--wait").refusal
