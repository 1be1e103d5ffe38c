"""Where the exceptions of omero-py become errors of the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .address import Credential, OmeroAddress
from .library import omero_py
from .meanings import meaning


@contextmanager
def omero_errors(address: OmeroAddress, credential: Credential | None = None) -> Iterator[None]:
    """Translate what the client library raises in a block.

    Raises:
        OmeroError: of the kind that fits; a kind in ``BROKEN`` where the connection is of no more use.
    """
    library = omero_py()
    try:
        yield
    except (library.ice.Exception, library.omero.ClientError, library.omero.CmdError) as error:
        # Not chained: the text of an Ice exception names proxies, and a proxy's name is its session's uuid.
        raise meaning(error, address, credential) from None
