"""The line over the picture: where it lies, and what of it was never received."""

from __future__ import annotations

from ..canvas import Canvas
from ..grouping import Label


def caption(canvas: Canvas, here: tuple[Label, ...] | None, state: str) -> str:
    """Name the position, the layers whose plane is not there, the counts, and how the mesh is."""
    lines = []
    if here is not None:
        lines.append(" · ".join(_named(name, label) for name, label in zip(canvas.axes.names, here, strict=True)))
        absent = [layer.name for layer in canvas.layers if not layer.stack.holds(here)]
        if absent:
            lines.append(f"not received here: {', '.join(absent)}")
        note = canvas.notes.get(str(here[canvas.axes.names.index("well")])) if "well" in canvas.axes.names else None
        if note:
            lines.append(note)
    n_announced = max(canvas.contents.n_planes, canvas.n_announced, canvas.n_received)
    counts = f"{canvas.n_received} of {n_announced} planes"
    n_evicted = sum(layer.n_evicted for layer in canvas.layers)
    if n_evicted:
        counts += f" · {n_evicted} let go to stay within memory"
    lines.append(f"{counts} · {state}")
    return "\n".join(lines)


def _named(name: str, label: Label) -> str:
    if name == "well":
        return str(label) or "image"
    return f"{name} {label}"
