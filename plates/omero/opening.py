"""What the settings say of OMERO, put together: whose sessions are used, minted, and kept alive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...config.omero_settings import OmeroSettings
from .address import SessionKey, address_of
from .identities import Identities
from .minter import Minter
from .session_keeper import SessionKeeper


@contextmanager
def open_identities(settings: OmeroSettings) -> Iterator[Identities]:
    """Act at the server of the settings; at the end connections and the process that keeps sessions are closed."""
    address = address_of(settings)
    minter = None
    if settings.minter:
        secret_file = Path(settings.minter_secret_file)
        minter = Minter(address, settings.minter, secret_file, idle_s=settings.minted_idle_s)

    def ended(key: SessionKey) -> None:
        identities.key_ended(key)

    keeper = SessionKeeper(address, every_s=settings.keep_alive_s, on_ended=ended)
    identities = Identities(address, minter=minter, keeper=keeper, n_connections=settings.connections_per_session)
    try:
        yield identities
    finally:
        keeper.close()
        identities.close()
