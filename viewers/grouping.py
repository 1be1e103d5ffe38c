"""Which planes share a layer, and along which axes: the choice that turns addresses into a picture.

Each component of an address either makes layers ("layer": one for each of its values) or is an axis
of the layer it is in ("stack"). The mesh knows nothing of this: it sends addresses, the viewer groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..messages.planes import PROJECTION, PlaneAddress
from .errors import UnknownComponent

Mode = Literal["layer", "stack"]
Component = Literal["step", "channel", "well", "field", "z", "t"]
Label = str | int

COMPONENTS: tuple[Component, ...] = ("step", "channel", "well", "field", "z", "t")


def _napari_modes() -> dict[Component, Mode]:
    return {"step": "layer", "channel": "layer", "well": "stack", "field": "stack", "z": "stack", "t": "stack"}


@dataclass(frozen=True)
class Grouping:
    """Says of every plane in which layer it lies, and where in that layer."""

    modes: Mapping[Component, Mode] = field(default_factory=_napari_modes)

    def __post_init__(self) -> None:
        missing = [component for component in COMPONENTS if component not in self.modes]
        unknown = [str(component) for component in self.modes if component not in COMPONENTS]
        if missing or unknown:
            raise UnknownComponent(
                f"A grouping names each of {', '.join(COMPONENTS)} once; missing: {missing}, unknown: {unknown}."
            )

    @property
    def layer_components(self) -> tuple[Component, ...]:
        """The components that make layers, in the order in which names are written."""
        return tuple(component for component in COMPONENTS if self.modes[component] == "layer")

    @property
    def axes(self) -> tuple[Component, ...]:
        """The components that are axes of every layer, slowest first."""
        return tuple(component for component in COMPONENTS if self.modes[component] == "stack")

    def layer_key(self, address: PlaneAddress) -> tuple[Label, ...]:
        """What two planes have in common exactly when they share a layer."""
        return tuple(label(address, component) for component in self.layer_components)

    def position(self, address: PlaneAddress) -> tuple[Label, ...]:
        """Where along ``axes`` the plane lies in its layer."""
        return tuple(label(address, component) for component in self.axes)

    def layer_name(self, address: PlaneAddress) -> str:
        """A name for people, different for layers that differ: "DNA", "nuclei", "DNA projection"."""
        step = address.step if self.modes["step"] == "layer" else ""
        channel = address.channel if self.modes["channel"] == "layer" else ""
        if step == PROJECTION:
            words = [f"{channel} {PROJECTION}".strip()]
        else:
            words = [" · ".join(word for word in (step, channel) if word)]
        for component in ("well", "field", "z", "t"):
            if self.modes[component] == "layer":
                words.append(_written(component, label(address, component)))
        return " ".join(word for word in words if word) or "image"


def label(address: PlaneAddress, component: Component) -> Label:
    """The value that an address has in one component."""
    match component:
        case "step":
            return address.step
        case "channel":
            return address.channel
        case "well":
            return address.well
        case "field":
            return address.field
        case "z":
            return address.z
        case "t":
            return address.t


def parse_grouping(text: str) -> Grouping:
    """Read "channel=layer,z=stack": what is not named keeps napari's default.

    Raises:
        UnknownComponent: a component or a mode is not one of the known ones.
    """
    modes = _napari_modes()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, mode = part.partition("=")
        component = next((known for known in COMPONENTS if known == name.strip()), None)
        if component is None or mode.strip() not in ("layer", "stack"):
            raise UnknownComponent(
                f"{part!r} is not COMPONENT=layer or COMPONENT=stack.",
                hint=f"The components are {', '.join(COMPONENTS)}.",
            )
        modes[component] = "layer" if mode.strip() == "layer" else "stack"
    return Grouping(modes)


def _written(component: Component, value: Label) -> str:
    if component == "well":
        return str(value)
    return f"{component} {value}"
