"""Pipelines: image analysis as data. What is here is what a pipeline's source may import, and its machinery."""

from .channels import channel
from .compilation import Compiled, compile_pipeline
from .devices import Device, open_device
from .errors import (
    BadFunction,
    BadStep,
    CompilationFailed,
    DeviceUnavailable,
    FunctionUnavailable,
    PipelineSourceError,
    Problem,
    StepFailed,
    WellFailed,
)
from .foreground import fill_holes, otsu, threshold
from .functions import Function, function
from .kinds import Image, Labels, Mask, Number, Stack, Table
from .measuring import measure, measure_shape, measure_well
from .model import Pipeline, Step
from .objects import keep_sizes, label, remove_border_objects, split_touching
from .parameters import Between, ColumnOf
from .pixels import gaussian, max_projection, tophat
from .registry import Registry, installed
from .rings import measure_rings, nucleus_ring_ratio
from .running import FieldFailure, KeptPlane, ObjectTable, WellResult, run_well
from .source import parse
from .writing import to_source

__all__ = [
    "BadFunction",
    "BadStep",
    "Between",
    "ColumnOf",
    "CompilationFailed",
    "Compiled",
    "Device",
    "DeviceUnavailable",
    "FieldFailure",
    "Function",
    "FunctionUnavailable",
    "Image",
    "KeptPlane",
    "Labels",
    "Mask",
    "Number",
    "ObjectTable",
    "Pipeline",
    "PipelineSourceError",
    "Problem",
    "Registry",
    "Stack",
    "Step",
    "StepFailed",
    "Table",
    "WellFailed",
    "WellResult",
    "channel",
    "compile_pipeline",
    "fill_holes",
    "function",
    "gaussian",
    "installed",
    "keep_sizes",
    "label",
    "max_projection",
    "measure",
    "measure_rings",
    "measure_shape",
    "measure_well",
    "nucleus_ring_ratio",
    "open_device",
    "otsu",
    "parse",
    "remove_border_objects",
    "run_well",
    "split_touching",
    "threshold",
    "to_source",
    "tophat",
]
