"""What actors answer when they cannot do what was asked."""

from __future__ import annotations

from ..config.errors import MeshError


class NoSuchSource(MeshError, FileNotFoundError):
    """There is nothing to import at the path that was given."""


class ImportNotFound(MeshError, LookupError):
    """No import has this id."""


class ImportEnded(MeshError, ValueError):
    """The import's state does not allow what was asked."""


class KeyTaken(MeshError, FileExistsError):
    """A key under which its asker has handed over something else before."""


class NoGroups(MeshError, ValueError):
    """An order names a group, and the mesh keeps its plates where there are none."""


class ImportedAlready(MeshError, FileExistsError):
    """The same files are in the repository, or on their way to it."""


class NotAllowed(MeshError, PermissionError):
    """An order that this person may not give."""


class NotTheirs(MeshError, PermissionError):
    """Only its owner, or who may act for others, can ask this."""


class OnlyCopyHeld(MeshError, ValueError):
    """What is held for an import lies nowhere else any more, and is not given up unasked."""


class NoCertificate(MeshError, ValueError):
    """An import that cannot be certified, and why."""


class SourceSilent(MeshError, ConnectionError):
    """The disk that a source lies on does not answer just now."""


class OutOfHours(SourceSilent):
    """A workstation reads its sources at other hours."""


class InspectorKeepsDying(MeshError, RuntimeError):
    """Reading a source ends or stalls the process that reads it."""


class JobNotFound(MeshError, LookupError):
    """No job has this id."""


class JobEnded(MeshError, ValueError):
    """The job's state does not allow what was asked."""


class NoExecutor(MeshError, RuntimeError):
    """No executor is up to do what was asked."""


class MeshFault(MeshError, RuntimeError):
    """Something that nobody had thought of: a fault of the mesh itself, which the log has with its traceback."""
