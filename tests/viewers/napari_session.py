"""Run by test_viewers_napari_window: drives one window and writes down what napari then holds."""

import json
import sys
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from hcs_mesh.messages.planes import PlaneAddress, PlaneHeader
from hcs_mesh.messages.viewing import Contents
from hcs_mesh.viewers.canvas import Canvas
from hcs_mesh.viewers.grouping import Grouping
from hcs_mesh.viewers.napari.window import Window

SIDE = 256


def put(canvas: Canvas, well: str, channel: str, value: int, step: str = "") -> None:
    dtype = "int32" if step else "uint16"
    plane = np.full((SIDE, SIDE), value, dtype)
    plane[: SIDE // 2] = 0
    address = PlaneAddress(well=well, field=1, channel=channel, step=step)
    kind = "labels" if step else "image"
    canvas.put(PlaneHeader(address=address, kind=kind, height=SIDE, width=SIDE, dtype=dtype), plane)


def main(out: Path) -> None:
    viewer = napari.Viewer(show=True)
    canvas = Canvas(Grouping())
    window = Window(viewer, canvas)

    def draw() -> None:
        window.draw()
        QApplication.processEvents()

    canvas.begin(Contents(plate_id=1, plate_name="demo", wells=("A01", "B02"), fields=(1, 2), z=(0,), t=(0,)))
    put(canvas, "B02", "DNA", 500)
    put(canvas, "B02", "GFP", 600)
    put(canvas, "B02", "", 3, step="nuclei")
    canvas.note("B02", "B02: 29 objects")
    draw()
    layer = viewer.layers["DNA"]
    report: dict[str, object] = {
        "layers": {one.name: type(one).__name__ for one in viewer.layers},
        "shape_before": list(layer.data.shape),
        "position_before": window.position(),
    }
    layer.contrast_limits = (10, 3333)
    layer.colormap = "cyan"
    put(canvas, "A00", "DNA", 700)
    put(canvas, "C03", "DNA", 800)
    put(canvas, "B02", "DNA", 1234)
    draw()
    report |= {
        "shape_after": list(layer.data.shape),
        "contrast": [float(limit) for limit in layer.contrast_limits],
        "colormap": layer.colormap.name,
        "same_layer": viewer.layers["DNA"] is layer,
        "position_after": window.position(),
        "shown_value": int(np.asarray(layer._slice.image.raw).max()),
        "caption": viewer.canvas.overlays.text.text,
    }
    viewer.dims.set_current_step(0, 0)
    QApplication.processEvents()
    report["caption_elsewhere"] = viewer.canvas.overlays.text.text
    canvas.begin(Contents(plate_id=2, plate_name="next"))
    put(canvas, "D04", "DNA", 900)
    draw()
    report["emptied_layers"] = [one.name for one in viewer.layers]
    report["contrast_on_next_plate"] = [float(limit) for limit in layer.contrast_limits]
    out.write_text(json.dumps(report))
    viewer.close()


main(Path(sys.argv[1]))
