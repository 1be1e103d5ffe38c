"""Why a viewer is not let in."""

from __future__ import annotations

from ...config.errors import MeshError


class ViewerRefused(MeshError, PermissionError):
    """The viewer cannot follow a stream of this mesh."""


class NothingToShow(MeshError, LookupError):
    """The job or plate that a viewer asked for does not exist."""
