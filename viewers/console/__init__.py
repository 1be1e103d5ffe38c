"""The console: the inside of a running mesh in a terminal, and the keys that reach into it."""

from .opening import open_app
from .snapshot import Snapshot, snapshot

__all__ = ["Snapshot", "open_app", "snapshot"]
