"""Which HTTP status an error of the mesh is."""

from __future__ import annotations

from ..config.errors import MeshError
from ..transport import ActorUnknown, AskFailed

# The first match counts, where an error is several of these at once. That an actor is not there is no
# fault of the address: the mesh is starting or has given that part up.
STATUS_OF: tuple[tuple[type[Exception], int], ...] = (
    (ActorUnknown, 503),
    (LookupError, 404),
    (PermissionError, 403),
    (TimeoutError, 504),
    (ConnectionError, 503),
    (ValueError, 400),
)


def status_of(error: MeshError) -> int:
    """The status that tells a program what to do: look elsewhere, mend the request, come again, or give up."""
    if isinstance(error, AskFailed):
        failure = error.failure
        if failure.kind.endswith(("NotFound", "Unknown")):
            return 404
        return 503 if failure.retry else 400 if failure.blame == "caller" else 500
    return next((code for kind, code in STATUS_OF if isinstance(error, kind)), 500)
