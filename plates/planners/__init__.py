"""Fileset planners: given a folder, which files belong together and what plate they are, one file each."""

from .folder import Folder, TiffHead, TiffSeries, is_settled, is_tiff, join, split
from .plan import Fileset, LeftOut, Plan, PlannedFile, planned_files, still_due
from .plane_table import PlaneTable
from .recognition import Planner, recognise

__all__ = [
    "Fileset",
    "Folder",
    "LeftOut",
    "Plan",
    "PlaneTable",
    "PlannedFile",
    "Planner",
    "TiffHead",
    "TiffSeries",
    "is_settled",
    "is_tiff",
    "join",
    "planned_files",
    "recognise",
    "split",
    "still_due",
]
