"""One napari window: draws a canvas's changes in place, and leaves alone what the person set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..canvas import Canvas, Changes, Layer
from ..colours import colormap_of
from ..grouping import Label
from .caption import caption

CONTRAST_PERCENTILES = (0.5, 99.8)


class Window:
    """Keeps a ``napari.Viewer`` in step with a canvas; to be used from the Qt thread only.

    Layers are never removed and added again: that would lose contrast, colormap and position. A layer
    whose planes were all let go stays, so the next plate finds the settings of this one.
    """

    def __init__(self, viewer: Any, canvas: Canvas, *, title: str = "hcs-mesh") -> None:
        self._viewer = viewer
        self._canvas = canvas
        self._title = title
        self._state = "connecting"
        self._layers: dict[str, Any] = {}
        self._placed = False
        self.n_draws = 0
        text = viewer.canvas.overlays.text
        text.visible = True
        text.position = "top_left"
        viewer.dims.events.current_step.connect(self._write_caption)
        self.say(self._state)

    def say(self, state: str) -> None:
        """Show in title and caption how the mesh is: "following", "the mesh is away" and so on."""
        self._state = state
        shown = self._canvas.contents
        subject = " · ".join(part for part in (shown.plate_name, shown.job) if part)
        self._viewer.title = " – ".join(part for part in (self._title, subject, state) if part)
        self._write_caption()

    def draw(self) -> None:
        """Bring everything that changed since the last draw onto the screen."""
        here = self._where()
        changes = self._canvas.take_changes()
        if not changes:
            return
        self.n_draws += 1
        grown = [one for one in self._canvas.layers if one.name in self._layers] if changes.axes_grew else []
        for layer in grown:
            drawn = self._layers[layer.name]
            # Setting the same array again makes napari read its shape anew; contrast and colours stay.
            drawn.data = drawn.data
        for layer in changes.new_layers:
            self._layers[layer.name] = self._add(layer)
        if changes.axes_grew or not self._placed:
            self._go_to(here, changes)
        for name in self._to_refresh(changes):
            if name in self._layers:
                self._layers[name].refresh(extent=False, highlight=False)
        self._write_caption()

    def position(self) -> tuple[Label, ...] | None:
        """The labels (well, field, ...) of the plane that is on the screen; None before the first."""
        return self._where()

    def describe(self) -> dict[str, Any]:
        """What the window holds and shows, in plain values."""
        layers: dict[str, dict[str, Any]] = {
            layer.name: {
                "kind": layer.kind,
                "shape": list(layer.stack.shape),
                "n_received": layer.stack.n_received,
                "n_evicted": layer.n_evicted,
            }
            for layer in self._canvas.layers
        }
        for name, drawn in self._layers.items():
            if layers[name]["kind"] == "image":
                layers[name]["contrast"] = [float(limit) for limit in drawn.contrast_limits]
                layers[name]["colormap"] = drawn.colormap.name
        return {
            "state": self._state,
            "layers": layers,
            "position": self._where(),
            "n_received": self._canvas.n_received,
            "n_draws": self.n_draws,
            "job": self._canvas.contents.job,
            "plate": self._canvas.contents.plate_id,
            "notes": dict(self._canvas.notes),
        }

    def _where(self) -> tuple[Label, ...] | None:
        axes = self._canvas.axes
        if not self._placed or 0 in axes.shape:
            return None
        step = tuple(int(one) for one in self._viewer.dims.current_step)
        start = len(step) - len(axes.names) - 2
        # A layer the person added may have more axes, and after they removed ours there may be fewer.
        return axes.position(step[start:-2]) if start >= 0 else None

    def _go_to(self, before: tuple[Label, ...] | None, changes: Changes) -> None:
        axes = self._canvas.axes
        index = axes.index(before) if before is not None else None
        if index is None:
            touched = [axes.index(one) for some in changes.touched.values() for one in some]
            index = min((one for one in touched if one is not None), default=None)
        if index is not None:
            step = tuple(self._viewer.dims.current_step)
            start = len(step) - len(index) - 2
            if start >= 0:
                self._viewer.dims.current_step = (*step[:start], *index, *step[-2:])
                self._placed = True

    def _to_refresh(self, changes: Changes) -> list[str]:
        here = self._where()
        if changes.axes_grew or changes.emptied or here is None or self._viewer.dims.ndisplay != 2:
            return list(self._layers)
        return [name for name, positions in changes.touched.items() if here in positions]

    def _add(self, layer: Layer) -> Any:
        pixel = layer.pixel_size_um or 1.0
        common = {
            "name": layer.name,
            "scale": (*(1.0,) * len(self._canvas.axes.names), pixel, pixel),
            "axis_labels": (*self._canvas.axes.names, "y", "x"),
            "metadata": {"hcs_mesh": {"step": layer.step, "channel": layer.channel}},
        }
        if layer.kind == "labels":
            drawn = self._viewer.add_labels(layer.stack, multiscale=False, opacity=0.5, **common)
            drawn.editable = False
            return drawn
        n_before = sum(one.kind == "image" for one in self._canvas.layers if one.name in self._layers)
        first = layer.stack.held()
        return self._viewer.add_image(
            layer.stack,
            rgb=False,
            multiscale=False,
            blending="additive" if n_before else "translucent_no_depth",
            colormap=colormap_of(layer.channel or layer.name, n_before),
            contrast_limits=_contrast(layer.stack.plane(first[0])) if first else None,
            **common,
        )

    def _write_caption(self, event: object = None) -> None:
        here = self._where()
        self._viewer.canvas.overlays.text.text = caption(self._canvas, here, self._state)


def _contrast(plane: NDArray[Any]) -> tuple[float, float]:
    """Limits from one plane, so that a few hot pixels do not darken the rest."""
    sample = plane[::4, ::4]
    low, high = (float(one) for one in np.percentile(sample, CONTRAST_PERCENTILES))
    return (low, high) if high > low else (low, low + 1.0)
