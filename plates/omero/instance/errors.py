"""What can go wrong with starting an OMERO.server here."""

from __future__ import annotations

from ..errors import OmeroError, OmeroNotTrusted, OmeroUnreachable
from .life import Kind, Problem


class OmeroNotReady(OmeroError, TimeoutError):
    """The server did not get as far as a login in the time that it was given."""


class OmeroElsewhere(OmeroError, ValueError):
    """A server was to be started here, and the settings name one that is not here."""


class OmeroPortTaken(OmeroError, OSError):
    """Something that is no OMERO.server in working order listens where one should."""


class ContainerEnded(OmeroError, RuntimeError):
    """A container that the server needs has ended by itself."""


class DockerMissing(OmeroError, OSError):
    """There is no docker program here, or none that knows compose."""


class DockerDown(OmeroError, ConnectionError):
    """The docker program is there, and the daemon that it asks is not."""


class DockerDenied(OmeroError, PermissionError):
    """The account may not ask the docker daemon."""


class DockerFailed(OmeroError, RuntimeError):
    """Docker could not do what it was asked for."""


class InstanceUnusable(OmeroError, OSError):
    """The folder that remembers what was started cannot be read or written."""


class InstanceInUse(OmeroError, BlockingIOError):
    """Another process is starting or stopping the same server."""


_CLASSES: dict[Kind, type[OmeroError]] = {
    "unreachable": OmeroUnreachable,
    "taken": OmeroPortTaken,
    "not-trusted": OmeroNotTrusted,
    "not-ready": OmeroNotReady,
    "container-ended": ContainerEnded,
    "docker-missing": DockerMissing,
    "docker-down": DockerDown,
    "docker-denied": DockerDenied,
    "docker-failed": DockerFailed,
    "elsewhere": OmeroElsewhere,
    "in-use": InstanceInUse,
    "unusable": InstanceUnusable,
}


def error_of(problem: Problem) -> OmeroError:
    """The error that a problem is raised as."""
    return _CLASSES[problem.kind](problem.reason, hint=problem.hint)


def problem_from(error: OmeroError) -> Problem | None:
    """The problem that an error tells of; None where it is none of a server's coming up."""
    kind = next((kind for kind, of in _CLASSES.items() if type(error) is of), None)
    return None if kind is None else Problem(kind, str(error), error.hint)
