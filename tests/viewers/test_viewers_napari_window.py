"""The real napari, in a process and on a screen of its own: layers appear, grow and keep what was set."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("napari_session.py")


def napari_session(tmp_path: Path) -> dict[str, object]:
    out = tmp_path / "report.json"
    run = subprocess.run(
        ["xvfb-run", "-a", "-s", "-screen 0 1280x900x24", sys.executable, str(SCRIPT), str(out)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "NAPARI_CONFIG": str(tmp_path / "napari.yaml")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    report: dict[str, object] = json.loads(out.read_text())
    return report


@pytest.mark.needs("napari", "xvfb")
@pytest.mark.timeout(120)
def test_napari_shows_layers_in_place_and_keeps_what_the_person_set(tmp_path: Path) -> None:
    report = napari_session(tmp_path)
    assert report["layers"] == {"DNA": "Image", "GFP": "Image", "nuclei": "Labels"}
    assert report["shape_before"] == [2, 2, 1, 1, 256, 256]
    assert report["shape_after"] == [4, 2, 1, 1, 256, 256]
    assert report["contrast"] == [10.0, 3333.0]
    assert report["colormap"] == "cyan"
    assert report["same_layer"] is True
    assert report["position_before"] == report["position_after"] == ["B02", 1, 0, 0]
    assert report["shown_value"] == 1234
    assert "not received here: GFP, nuclei" in str(report["caption_elsewhere"])
    assert "B02: 29 objects" in str(report["caption"])
    assert report["emptied_layers"] == ["DNA", "GFP", "nuclei"]
    assert report["contrast_on_next_plate"] == [10.0, 3333.0]
