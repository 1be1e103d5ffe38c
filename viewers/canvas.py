"""What one viewer holds: layers of planes that share their axes, filled from one thread and drawn from another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from ..messages.planes import PROJECTION, PlaneHeader, PlaneKind
from ..messages.viewing import Contents
from .axes import Axes
from .grouping import Grouping, Label
from .plane_stack import Plane, PlaneStack, Position

LayerKey = tuple[Label, ...]

MAX_BYTES = 4 << 30
"""What a canvas holds at most by default; past it the well that was touched longest ago is let go."""


@dataclass
class Layer:
    """One layer as the viewer shows it: a name for people, and the planes that it holds."""

    name: str
    kind: PlaneKind
    stack: PlaneStack
    pixel_size_um: float | None
    step: str
    channel: str
    n_evicted: int = 0


@dataclass
class Changes:
    """What happened to a canvas since it was last drawn."""

    axes_grew: bool = False
    new_layers: list[Layer] = field(default_factory=list)
    touched: dict[str, set[Position]] = field(default_factory=dict)
    emptied: bool = False

    def __bool__(self) -> bool:
        return self.axes_grew or self.emptied or bool(self.new_layers) or bool(self.touched)


class Canvas:
    """Takes planes as they come and says what has to be drawn.

    ``put`` may be called from any thread. ``take_changes`` belongs to the drawing thread: only there do
    axes grow and layers appear, so that a picture being drawn never changes its shape.
    """

    def __init__(self, grouping: Grouping, *, max_bytes: int = MAX_BYTES) -> None:
        self.grouping = grouping
        self.contents = Contents()
        self.axes = Axes.empty(grouping.axes)
        self.notes: dict[str, str] = {}
        self.n_announced = 0
        self.n_received = 0
        self.n_bytes = 0
        self._max_bytes = max_bytes
        self._layers: dict[tuple[LayerKey, PlaneKind, str, int, int], Layer] = {}
        self._shown: list[Layer] = []
        self._arrivals: dict[str, list[Position]] = {}
        self._wells: dict[str, dict[tuple[str, Position], Layer]] = {}
        self._spanned = self.axes
        self._emptied = False
        self._lock = threading.Lock()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that have been handed out for drawing, oldest first."""
        return tuple(self._shown)

    def begin(self, contents: Contents) -> None:
        """Show this from now on: another plate empties the layers, another job only its results."""
        with self._lock:
            before, self.contents = self.contents, contents
            self.n_announced = contents.n_planes
            if (contents.plate_id, contents.job) != (before.plate_id, before.job):
                self.notes.clear()
            if contents.plate_id != before.plate_id:
                self._empty(lambda layer: True)
                self._spanned = Axes.empty(self.grouping.axes)
            elif contents.job != before.job and before.job:
                self._empty(lambda layer: layer.step not in ("", PROJECTION))
            self._spanned = self._spanned.spanning(
                {"well": contents.wells, "field": contents.fields, "z": contents.z, "t": contents.t}
            )

    def put(self, header: PlaneHeader, plane: Plane) -> None:
        """Hold a plane; the canvas owns the array from now on."""
        if header.kind == "labels" and plane.dtype in (np.uint8, np.bool_):
            # Each well's labels are stored in the smallest type that holds them; one layer shows them all.
            plane = plane.astype(np.uint16)
            header = msgspec.structs.replace(header, dtype="uint16")
        with self._lock:
            layer = self._layer(header)
            position = self.grouping.position(header.address)
            if not layer.stack.holds(position):
                self.n_bytes += layer.stack.plane_bytes
                self.n_received += 1
            layer.stack.put(position, plane)
            self._arrivals.setdefault(layer.name, []).append(position)
            touched = self._wells.pop(header.address.well, {})
            touched[layer.name, position] = layer
            self._wells[header.address.well] = touched
            while self.n_bytes > self._max_bytes and len(self._wells) > 1:
                self._evict(next(iter(self._wells)))

    def note(self, well: str, text: str) -> None:
        """Keep a line about a well, shown while the person looks at it."""
        with self._lock:
            self.notes[well] = text

    def announce(self, n_waiting: int) -> None:
        """Note how many planes are still to come."""
        with self._lock:
            self.n_announced = self.n_received + n_waiting

    def take_changes(self) -> Changes:
        """Grow the axes, bring new layers in and say what to draw since the last call."""
        with self._lock:
            arrivals, self._arrivals = self._arrivals, {}
            emptied, self._emptied = self._emptied, False
            self._spanned = self._spanned.grown(position for some in arrivals.values() for position in some)
            changes = Changes(axes_grew=self._spanned != self.axes, emptied=emptied)
            self.axes = self._spanned
            for layer in self._layers.values():
                layer.stack.lie_along(self.axes)
                if layer not in self._shown:
                    self._shown.append(layer)
                    changes.new_layers.append(layer)
            changes.touched = {name: set(some) for name, some in arrivals.items()}
            return changes

    def _layer(self, header: PlaneHeader) -> Layer:
        address = header.address
        key = (self.grouping.layer_key(address), header.kind, header.dtype, header.height, header.width)
        layer = self._layers.get(key)
        if layer is None:
            name = self.grouping.layer_name(address)
            if any(one.name == name for one in self._layers.values()):
                # Planes of another size or type cannot share an array; a layer of their own keeps them whole.
                name = f"{name} ({header.kind} {header.height}x{header.width} {header.dtype})"
            stack = PlaneStack(self.axes, header.height, header.width, header.dtype)
            layer = Layer(name, header.kind, stack, header.pixel_size_um, address.step, address.channel)
            self._layers[key] = layer
        return layer

    def _evict(self, well: str) -> None:
        for (_, position), layer in self._wells.pop(well).items():
            freed = layer.stack.forget([position])
            self.n_bytes -= freed
            layer.n_evicted += freed > 0

    def _empty(self, chosen: Callable[[Layer], bool]) -> None:
        for layer in self._layers.values():
            if chosen(layer):
                held = layer.stack.held()
                self.n_bytes -= layer.stack.forget(held)
                self.n_received -= len(held)
                self._arrivals.pop(layer.name, None)
        for touched in self._wells.values():
            for place in [place for place, layer in touched.items() if chosen(layer)]:
                del touched[place]
        self._emptied = True
