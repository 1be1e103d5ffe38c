"""What can go wrong with an OMERO.server (pure)."""

from __future__ import annotations

from ...config.errors import MeshError
from ..errors import PlaceAway


class OmeroError(MeshError):
    """What OMERO, or the way to it, refuses."""


class OmeroMissing(OmeroError, ImportError):
    """The client library is not installed."""


class OmeroUnreachable(OmeroError, ConnectionError):
    """The server is down, or the network does not lead to it; what was begun may or may not be done."""


class OmeroNotAnswering(OmeroError, TimeoutError):
    """The server took longer than it was given."""


class OmeroNotTrusted(OmeroError, PermissionError):
    """The server did not show a certificate that can be checked."""


class OmeroLoginRefused(OmeroError, PermissionError):
    """Name and password do not open a session."""


class OmeroSessionEnded(OmeroError, ConnectionError):
    """The session is over: it was idle for too long, was closed, or the server was started again."""


class OmeroNotPermitted(OmeroError, PermissionError):
    """The session's user may not do this."""


class OmeroBusy(OmeroError, RuntimeError):
    """The server, or our share of it, is taken up by others; later it works."""


class OmeroPlacesTaken(OmeroBusy):
    """Other imports of the same person have the connections that there may be: it goes on once one has ended."""


class OmeroCallRefused(OmeroError, ValueError):
    """The server does not take the call as it was made."""


class OmeroTooLarge(OmeroError, ValueError):
    """What would be sent or answered in one call is more than a message may have; no other try makes it smaller."""


class OmeroFailed(OmeroError, RuntimeError):
    """Something broke inside the server."""


class OmeroOnTheLoop(OmeroError, RuntimeError):
    """A call that waits for the server was made where a whole process would wait with it."""


class OmeroSecretUnusable(OmeroError, ValueError):
    """The file with the minter's secret cannot be used."""


class OmeroMinterUnfit(OmeroError, PermissionError):
    """The account that should mint sessions is no light administrator with the Sudo privilege alone."""


class OmeroNothingThere(OmeroError, LookupError):
    """What a result describes is not in OMERO, or not any more."""


class OmeroWriteSpoilt(OmeroError, ValueError):
    """What the server holds after a write is not what was sent."""


class OmeroOtherUser(OmeroError, PermissionError):
    """A session was handed in for one person and belongs to another."""


class OmeroAwaitsLogin(OmeroError, PlaceAway):
    """Nobody may act for the person before the next login."""


class OmeroUploadLost(OmeroError, ConnectionError):
    """What was uploaded and not yet imported is of no more use: it is uploaded again."""


class OmeroImportFailed(OmeroError, ValueError):
    """The server could make no images of what was uploaded."""


class OmeroPlanesDiffer(OmeroError, ValueError):
    """The server shows other pixels than the source holds, or none in their place."""


class OmeroNotInPlace(OmeroError, PermissionError):
    """Files cannot be imported where they lie."""


class OmeroChecksumUnknown(OmeroError, ValueError):
    """The server wants a checksum that cannot be computed here."""


BROKEN = (OmeroUnreachable, OmeroNotAnswering, OmeroSessionEnded)
"""After these a connection is of no more use, and on another the call may succeed."""
