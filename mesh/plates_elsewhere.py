"""The places that the settings name beside the repository: what is read there, and by which numbers."""

from __future__ import annotations

from collections.abc import Callable

from .config import Settings
from .plates.local import LocalRepository
from .plates.numbers import HTTP
from .plates.plate_source import PlateSource


def places_elsewhere(
    settings: Settings, results: LocalRepository, at_the_end: Callable[[Callable[[], None]], object]
) -> dict[int, PlateSource]:
    """Each place by its span of numbers; their plates' results are kept in ``results``, which numbers them.

    What is to be closed is handed to ``at_the_end``.

    Raises:
        RepositoryFull, RepositoryFailed: the disk refuses to keep a number.
    """
    if not settings.http_plates:
        return {}
    # Imported where it is wanted: it brings an HTTP client.
    from .plates.http_plates import HttpPlate, HttpPlates, planes_of_this_process

    plates = {
        results.number_elsewhere(HTTP, one.address, one.name): HttpPlate(one.name, one.address, one.fresh_s)
        for one in settings.http_plates
    }
    # Or a server that does not answer would keep the process from ending.
    at_the_end(planes_of_this_process().let_go)
    served = HttpPlates(dict(sorted(plates.items())))
    at_the_end(served.close)
    return {HTTP: served}
