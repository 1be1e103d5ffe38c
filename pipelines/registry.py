"""Which functions there are: the built-in ones, and those that installed packages offer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from .channels import channel
from .errors import FunctionUnavailable
from .foreground import fill_holes, otsu, threshold
from .functions import Function
from .measuring import measure, measure_shape, measure_well
from .objects import keep_sizes, label, remove_border_objects, split_touching
from .pixels import gaussian, max_projection, tophat
from .rings import measure_rings, nucleus_ring_ratio

ENTRY_POINT_GROUP = "hcs_mesh.functions"

BUILT_INS: tuple[Function, ...] = (
    channel,
    max_projection,
    gaussian,
    tophat,
    threshold,
    otsu,
    fill_holes,
    label,
    split_touching,
    remove_border_objects,
    keep_sizes,
    measure,
    measure_shape,
    measure_rings,
    measure_well,
    nucleus_ring_ratio,
)


class Registry:
    """Finds functions by name; a facility's are loaded when a pipeline first names them.

    A facility cannot replace a built-in function: the name would mean two things.
    """

    def __init__(self, functions: tuple[Function, ...] = BUILT_INS, offers: tuple[EntryPoint, ...] = ()) -> None:
        self._functions = {one.name: one for one in functions}
        self._offers = {offer.name: offer for offer in offers if offer.name not in self._functions}

    def __iter__(self) -> Iterator[str]:
        yield from self._functions
        yield from (name for name in self._offers if name not in self._functions)

    def find(self, name: str) -> Function | None:
        """Return the function of that name, or None.

        Raises:
            FunctionUnavailable: an installed package offers the name and cannot be loaded.
        """
        if name in self._functions:
            return self._functions[name]
        if name not in self._offers:
            return None
        offer = self._offers[name]
        package = offer.dist.name if offer.dist is not None else offer.value
        try:
            loaded = offer.load()
        except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as wrong:
            raise FunctionUnavailable(
                f"function {name} of package {package} cannot be loaded: {type(wrong).__name__}: {wrong}",
                hint=f"mend or uninstall {package}",
            ) from wrong
        if not isinstance(loaded, Function) or loaded.name != name:
            raise FunctionUnavailable(
                f"{offer.value} of package {package} is not a registered function named {name}",
                hint="decorate it with hcs_mesh.pipelines.function and give the entry point its name",
            )
        self._functions[name] = loaded
        return loaded

    def modules(self, name: str) -> tuple[str, ...]:
        """Say from which modules the name may be imported, without loading anything."""
        if name in self._offers:
            return (self._offers[name].module,)
        return (self._functions[name].origin,) if name in self._functions else ()


@cache
def installed() -> Registry:
    """Return the built-in functions and those of the packages installed here."""
    return Registry(offers=tuple(entry_points(group=ENTRY_POINT_GROUP)))
