"""What watched folders are to become, looked at before the mesh is up: later each import would fail (pure)."""

from __future__ import annotations

from ...config.errors import ConfigError, MeshError
from ...config.watch_settings import WatchSettings
from ...messages.import_orders import check_order
from .book import WatchedUnit
from .orders import order_of


def check_wishes(watches: tuple[WatchSettings, ...]) -> None:
    """Refuse watches of which every order would be refused.

    Raises:
        ConfigError: A pattern is not well formed, what is excluded could be nothing, or a text is none that is kept.
    """
    for one in watches:
        anything = WatchedUnit(folder=one.path, unit="any/", at_unix_s=0.0, step="handing over")
        try:
            check_order(order_of(one, anything))
        except MeshError as error:
            raise ConfigError(
                f"nothing of the watched folder {one.path!r} could be imported: {error}.", hint=error.hint
            ) from error
