"""Viewers: processes that follow a mesh and show or keep what it streams, and reports of finished jobs."""

from .canvas import Canvas
from .follower import Follower
from .grouping import Grouping, parse_grouping
from .recording import Recording
from .screen import Screen

__all__ = ["Canvas", "Follower", "Grouping", "Recording", "Screen", "parse_grouping"]
