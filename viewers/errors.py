"""What goes wrong in a viewer."""

from __future__ import annotations

from ..config.errors import MeshError


class UnknownComponent(MeshError, ValueError):
    """A grouping names a component or a mode that does not exist."""


class NapariMissing(MeshError, ImportError):
    """napari or its Qt binding cannot be imported."""


class OutputUnusable(MeshError, OSError):
    """The recorder cannot write where it was told to."""


class TextualMissing(MeshError, ImportError):
    """Textual cannot be imported."""


class NotInControl(MeshError, PermissionError):
    """The key does not let its holder change anything."""
