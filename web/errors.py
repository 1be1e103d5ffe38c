"""What goes wrong in the web room."""

from __future__ import annotations

from ..config.errors import MeshError


class WebMissing(MeshError, ImportError):
    """The libraries of the web extra are not installed."""
