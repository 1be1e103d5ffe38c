"""The pipeline: a name and steps, each one call of a registered function with named inputs and output (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from .errors import BadStep
from .parameters import Value, shown

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""How outputs are named: they become column, layer and file names."""

TITLE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_ .\-]{0,62}[A-Za-z0-9_\-])?")
"""How pipelines are named: they become file names, on Windows too."""

MOST_STEPS = 200


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call: ``inputs`` pair the function's argument with the name of an earlier output.

    ``parameters`` holds every parameter, defaults written out, so that a stored pipeline keeps its
    meaning when a default changes.
    """

    function: str
    to: str
    inputs: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, Value], ...] = ()


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in the order they run.

    ``keep`` names the outputs that are saved and shown as planes; None keeps the finished label sets,
    those that no later step turns into other labels. ``count`` names the labels whose number is the
    well's ``n_objects``; None counts the last finished label set.

    Raises:
        BadStep: the name is no file name, a step is no step, or there are none or too many.
    """

    name: str
    steps: Sequence[Step]
    keep: Sequence[str] | None = None
    count: str | None = None

    def __post_init__(self) -> None:
        for argument, value in (("name", self.name), ("steps", self.steps), ("keep", self.keep), ("count", self.count)):
            complaint = complain(argument, value)
            if complaint:
                raise BadStep(complaint)
        # Tuples, so that equal pipelines are equal whichever brackets their author chose.
        msgspec.structs.force_setattr(self, "steps", tuple(self.steps))
        if self.keep is not None:
            msgspec.structs.force_setattr(self, "keep", tuple(self.keep))


def complain(argument: str, value: object) -> str:
    """Say what is wrong with one argument of :class:`Pipeline`, or nothing."""
    match argument:
        case "name":
            if not isinstance(value, str) or not TITLE.fullmatch(value):
                return (
                    f"the pipeline's name must be 1 to 64 letters, digits, '_', '-', '.' or blanks, not {shown(value)}"
                )
        case "steps":
            if not isinstance(value, (list, tuple)) or not all(isinstance(step, Step) for step in value):
                return "steps must be a list of calls of registered functions"
            if not 0 < len(value) <= MOST_STEPS:
                return f"a pipeline has 1 to {MOST_STEPS} steps, not {len(value)}"
        case "keep":
            if value is not None and not (
                isinstance(value, (list, tuple)) and all(isinstance(one, str) and NAME.fullmatch(one) for one in value)
            ):
                return f"keep must be a list of output names, not {shown(value)}"
        case "count":
            if value is not None and not (isinstance(value, str) and NAME.fullmatch(value)):
                return f"count must be the name of one set of labels, not {shown(value)}"
        case _:
            return f'Pipeline has no argument "{argument}": it takes name, steps, keep and count'
    return ""
