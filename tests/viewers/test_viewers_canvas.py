"""The canvas: what a viewer holds, and what it says has to be drawn."""

import numpy as np

from hcs_mesh.messages.planes import PlaneAddress, PlaneHeader, PlaneKind
from hcs_mesh.messages.viewing import Contents
from hcs_mesh.viewers.canvas import Canvas
from hcs_mesh.viewers.grouping import Grouping


def header(well: str, channel: str = "DNA", *, step: str = "", z: int = 0, side: int = 4) -> PlaneHeader:
    kind: PlaneKind = "labels" if step == "nuclei" else "image"
    return PlaneHeader(
        address=PlaneAddress(well=well, field=1, z=z, channel=channel, step=step),
        kind=kind,
        height=side,
        width=side,
        dtype="uint16",
    )


def put(canvas: Canvas, plane: PlaneHeader, value: int = 1) -> None:
    canvas.put(plane, np.full((plane.height, plane.width), value, np.uint16))


def test_layers_share_their_axes_so_that_one_position_is_one_well_in_all_of_them() -> None:
    canvas = Canvas(Grouping())
    put(canvas, header("C03"))
    put(canvas, header("B02"))
    put(canvas, header("C03", "", step="nuclei"), 7)
    changes = canvas.take_changes()
    assert [(layer.name, layer.kind) for layer in changes.new_layers] == [("DNA", "image"), ("nuclei", "labels")]
    assert {layer.stack.shape for layer in canvas.layers} == {(2, 1, 1, 1, 4, 4)}
    nuclei = canvas.layers[1].stack
    assert nuclei[1, 0, 0, 0].max() == 7
    assert not nuclei.holds(("B02", 1, 0, 0))


def test_axes_grow_only_when_the_drawing_side_takes_the_changes() -> None:
    canvas = Canvas(Grouping())
    put(canvas, header("B02"))
    canvas.take_changes()
    put(canvas, header("A01"))
    assert canvas.layers[0].stack.shape[0] == 1
    changes = canvas.take_changes()
    assert changes.axes_grew
    assert not changes.new_layers
    assert changes.touched == {"DNA": {("A01", 1, 0, 0)}}
    assert not canvas.take_changes()


def test_what_the_mesh_announces_makes_room_before_a_plane_comes() -> None:
    canvas = Canvas(Grouping())
    canvas.begin(Contents(plate_id=1, wells=("A01", "B02"), fields=(1, 2), z=(0, 1, 2), t=(0,)))
    put(canvas, header("B02"))
    canvas.take_changes()
    assert canvas.layers[0].stack.shape == (2, 2, 3, 1, 4, 4)


def test_a_new_job_empties_the_results_and_keeps_what_was_acquired() -> None:
    canvas = Canvas(Grouping())
    canvas.begin(Contents(plate_id=1, job="one"))
    put(canvas, header("A01"))
    put(canvas, header("A01", step="nuclei"))
    canvas.begin(Contents(plate_id=1, job="two"))
    assert canvas.take_changes().emptied
    assert [layer.stack.n_received for layer in canvas.layers] == [1, 0]
    assert canvas.n_received == 1


def test_another_plate_empties_every_layer_and_keeps_the_layers() -> None:
    canvas = Canvas(Grouping())
    canvas.begin(Contents(plate_id=1))
    put(canvas, header("H12"))
    canvas.begin(Contents(plate_id=2))
    put(canvas, header("A01"))
    canvas.take_changes()
    assert canvas.axes.labels[0] == ("A01",)
    assert [layer.name for layer in canvas.layers] == ["DNA"]


def test_past_its_bound_the_well_touched_longest_ago_is_let_go_and_counted() -> None:
    canvas = Canvas(Grouping(), max_bytes=3 * 32)
    for well in ("A01", "A02", "A03", "A01", "A04"):
        put(canvas, header(well))
    canvas.take_changes()
    layer = canvas.layers[0]
    assert [layer.stack.holds((well, 1, 0, 0)) for well in ("A01", "A02", "A03", "A04")] == [True, False, True, True]
    assert layer.n_evicted == 1
    assert canvas.n_bytes == 96


def test_planes_of_another_size_get_a_layer_of_their_own() -> None:
    canvas = Canvas(Grouping())
    put(canvas, header("A01"))
    put(canvas, header("A02", side=6))
    canvas.take_changes()
    assert [layer.name for layer in canvas.layers] == ["DNA", "DNA (image 6x6 uint16)"]


def test_labels_of_every_well_share_one_layer_whatever_type_each_was_stored_in() -> None:
    canvas = Canvas(Grouping())
    for well, dtype in (("A01", "uint8"), ("A02", "uint16")):
        address = PlaneAddress(well=well, field=1, step="nuclei")
        plane = PlaneHeader(address=address, kind="labels", height=4, width=4, dtype=dtype)
        canvas.put(plane, np.full((4, 4), 200, dtype))
    canvas.take_changes()
    (layer,) = canvas.layers
    assert layer.stack.dtype == np.uint16
    assert layer.stack[:, 0, 0, 0].min() == 200
