"""The root of every error that the mesh raises on purpose."""


class MeshError(Exception):
    """Says in one sentence what went wrong, and in ``hint`` what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(MeshError, ValueError):
    """A setting is unknown, of the wrong type, out of its bounds, or at odds with another."""
