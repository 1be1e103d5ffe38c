"""What can go wrong in keeping things alive."""

from ..config.errors import MeshError


class ChildStartFailed(MeshError, RuntimeError):
    """A child did not come up; the cause is chained."""


class ProcessStartFailed(ChildStartFailed):
    """A child process ended, or stayed silent, before it said that it is ready."""


class NoSuchChild(MeshError, LookupError):
    """No child of that name is under this supervisor."""


class DuplicateChild(MeshError, ValueError):
    """Two children of one supervisor have the same name, or an actor that is added has one of the tree's."""


class SupervisorNotRunning(MeshError, RuntimeError):
    """The supervisor has not been started, or has ended."""


class SupervisorRunning(MeshError, RuntimeError):
    """The supervisor is already started."""
