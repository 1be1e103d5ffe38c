"""What can be wrong with a pipeline: its text, its fit to a plate, its run."""

from __future__ import annotations

import msgspec

from ..config.errors import MeshError


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to mend in a pipeline's source: where it stands, what is wrong, what to do."""

    line: int
    column: int
    message: str
    hint: str = ""


class PipelineSourceError(MeshError, ValueError):
    """The text is not a pipeline; ``problems`` lists all that was found, in the order of the file."""

    def __init__(self, filename: str, problems: tuple[Problem, ...]) -> None:
        self.filename = filename
        self.problems = problems
        lines = [f"{filename}:{one.line}:{one.column}: {one.message}" for one in problems]
        hints = list(dict.fromkeys(one.hint for one in problems if one.hint))
        super().__init__("\n".join(lines), hint="\n".join(hints))


class BadStep(MeshError, ValueError):
    """A step or pipeline was built in Python with arguments that its function does not take."""


class BadFunction(MeshError, TypeError):
    """A registered function is declared in a way that no pipeline could call."""


class FunctionUnavailable(MeshError, LookupError):
    """An installed package promises a function that cannot be loaded."""


class CompilationFailed(MeshError, ValueError):
    """The pipeline does not fit the plate; ``errors`` holds every reason, one sentence each."""

    def __init__(self, pipeline: str, errors: tuple[str, ...], *, hint: str = "") -> None:
        self.errors = errors
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        super().__init__(
            "\n".join([f"pipeline {pipeline!r} does not fit: {count}", *(f"  - {error}" for error in errors)]),
            hint=hint or "mend the pipeline's file and run it again; no plane has been read",
        )


class DeviceUnavailable(MeshError, RuntimeError):
    """The device that was asked for does not exist here, or its library is not installed."""


class WellFailed(MeshError, RuntimeError):
    """A well gave no result at all: none of its fields holds what the pipeline reads."""


class StepFailed(MeshError, RuntimeError):
    """A step could not be computed on a field."""
