"""Registered functions: a Python function becomes a kind of step, its signature the rule for its arguments (pure)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin, get_type_hints, overload

from .errors import BadFunction, BadStep
from .kinds import IN_WORDS, Array
from .model import NAME, Step
from .parameters import REQUIRED, Parameter, Value, nearest, parameter, shown, suggestion

BUILT_IN = "hcs_mesh.pipelines"
Run = Callable[..., Array]


@dataclass(frozen=True)
class Complaint:
    """What is wrong with one argument of a call; ``argument`` is its name, its position, or empty for the call."""

    argument: str | int
    message: str


@dataclass(frozen=True, eq=False)
class Function:
    """A kind of step. Called with names and literals it makes a :class:`Step`; the executor calls ``on_cpu``.

    ``columns`` are those of the table it makes, ``needs`` those it wants in the table it is given.
    """

    name: str
    origin: str
    inputs: tuple[tuple[str, str], ...]
    parameters: tuple[Parameter, ...]
    gives: str
    on_cpu: Run
    columns: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    _on_cuda: list[Run] = field(default_factory=list)

    def __call__(self, *arguments: Value, to: str, **named: Value) -> Step:
        """Make the step that calls this function.

        Raises:
            BadStep: an argument is unknown, missing, of the wrong type or out of bounds.
        """
        step, complaints = self.bind(arguments, {**named, "to": to})
        if step is None:
            raise BadStep("; ".join(complaint.message for complaint in complaints), hint=f"write {self.usage()}")
        return step

    def on_cuda(self, run: Run) -> Run:
        """Register what computes this function on CuPy arrays; without it they pass through the host."""
        self._on_cuda.append(run)
        return run

    @property
    def cuda(self) -> Run | None:
        """What computes this function on CuPy arrays, if anything was written."""
        return self._on_cuda[-1] if self._on_cuda else None

    @property
    def per_well(self) -> bool:
        """Whether it runs once a well, on the tables of all fields, and not once a field."""
        return self.gives == "number"

    def usage(self) -> str:
        """Show how the call is written."""
        kinds = dict(self.inputs)
        parts = [f'"{name}"' if name in kinds else name for name in self.positional]
        parts += [f"{one.name}=..." for one in self.parameters if one.name not in self.positional]
        return f'{self.name}({", ".join(parts)}, to="...")'

    def bind(
        self, arguments: Iterable[object], named: Mapping[str, object]
    ) -> tuple[Step | None, tuple[Complaint, ...]]:
        """Match arguments with the signature: the step, or everything that is wrong with the call."""
        given, complaints = self._place(arguments, named)
        kinds = dict(self.inputs)
        known = [*kinds, *(one.name for one in self.parameters), "to"]
        # A misspelt parameter is one mistake, not two: what was meant is not told as missing.
        misspelt = {nearest(name, known) for name in named if name not in known}
        names: dict[str, str] = {}
        for name in (*kinds, "to"):
            place, value = given.get(name, ("", REQUIRED))
            what = f"an input: {name}, {IN_WORDS[kinds[name]]}" if name in kinds else 'a name for its output: to="..."'
            if value is REQUIRED:
                if name not in misspelt:
                    complaints.append(Complaint("", f"{self.name} needs {what}"))
            elif isinstance(value, str) and NAME.fullmatch(value):
                names[name] = value
            else:
                wanted = "the name of an output: letters, digits and '_', at most 64"
                complaints.append(Complaint(place, f"{self.name}: {name} must be {wanted}, not {shown(value)}"))
        values: list[tuple[str, Value]] = []
        for one in self.parameters:
            place, value = given.get(one.name, ("", one.default))
            if value is REQUIRED:
                if one.name not in misspelt:
                    complaints.append(Complaint("", f"{self.name} needs {one.name}, {one.legal()}"))
                continue
            try:
                values.append((one.name, one.accept(value)))
            except ValueError as wrong:
                complaints.append(Complaint(place, f"{self.name}: {wrong}"))
        if complaints:
            return None, tuple(complaints)
        chosen = tuple((name, names[name]) for name in kinds)
        return Step(function=self.name, to=names["to"], inputs=chosen, parameters=tuple(values)), ()

    def _place(
        self, arguments: Iterable[object], named: Mapping[str, object]
    ) -> tuple[dict[str, tuple[str | int, object]], list[Complaint]]:
        """Give every argument its name, complaining of those that have none here."""
        complaints: list[Complaint] = []
        given: dict[str, tuple[str | int, object]] = {}
        for position, value in enumerate(arguments):
            if position < len(self.positional):
                given[self.positional[position]] = (position, value)
                continue
            most = len(self.positional)
            message = f"{self.name} takes {most} argument{'s'[: most != 1]} without a name, not more"
            complaints.append(Complaint(position, message))
        known = [*dict(self.inputs), *(one.name for one in self.parameters), "to"]
        for name, value in named.items():
            if name not in known:
                near = suggestion(name, known) or f": it takes {', '.join(known)}"
                complaints.append(Complaint(name, f'{self.name} has no parameter "{name}"{near}'))
            elif name in given:
                complaints.append(Complaint(name, f"{self.name} was given {name} twice"))
            else:
                given[name] = (name, value)
        return given, complaints


@overload
def function(run: Run) -> Function: ...
@overload
def function(*, columns: tuple[str, ...] = (), needs: tuple[str, ...] = ()) -> Callable[[Run], Function]: ...
def function(
    run: Run | None = None, *, columns: tuple[str, ...] = (), needs: tuple[str, ...] = ()
) -> Function | Callable[[Run], Function]:
    """Turn a Python function into a kind of step that pipelines can name.

    Arguments annotated with Image, Stack, Mask, Labels or Table are inputs, the others parameters; the
    return annotation says what it gives. A facility lists the result in its package's entry points, group
    ``hcs_mesh.functions``, under the function's own name.

    Raises:
        BadFunction: an argument or the result is not annotated, or not with something a pipeline can say.
    """
    if run is None:
        return lambda run: _declare(run, columns, needs)
    return _declare(run, columns, needs)


def _declare(run: Run, columns: tuple[str, ...], needs: tuple[str, ...]) -> Function:
    name, origin = run.__name__, run.__module__
    hints = get_type_hints(run, include_extras=True)
    gives = _kind(hints.get("return"))
    if gives is None:
        raise BadFunction(
            f"{origin}.{name} does not say what it gives",
            hint="annotate the result: Image, Mask, Labels, Table, Number",
        )
    inputs: list[tuple[str, str]] = []
    parameters: list[Parameter] = []
    positional: list[str] = []
    for argument in inspect.signature(run).parameters.values():
        if argument.kind not in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY) or argument.name not in hints:
            raise BadFunction(f"{origin}.{name}: argument {argument.name} needs a name and an annotation")
        if argument.name == "to":
            raise BadFunction(f"{origin}.{name}: an argument cannot be named to: that names the output")
        kind = _kind(hints[argument.name])
        if argument.kind is argument.POSITIONAL_OR_KEYWORD:
            positional.append(argument.name)
        if kind is not None:
            inputs.append((argument.name, kind))
        else:
            default = REQUIRED if argument.default is argument.empty else argument.default
            parameters.append(parameter(argument.name, hints[argument.name], default))
    if gives == "number" and (not inputs or any(kind != "table" for _, kind in inputs)):
        raise BadFunction(f"{origin}.{name} gives a number a well, so its inputs must be tables")
    inside = origin.rpartition(".")[0] == __name__.rpartition(".")[0]
    declared = Function(
        name=name,
        origin=BUILT_IN if inside else origin,
        inputs=tuple(inputs),
        parameters=tuple(parameters),
        gives=gives,
        on_cpu=run,
        columns=columns,
        needs=needs,
        positional=tuple(positional),
    )
    # So that notebooks and editors show the function and not this class.
    declared.__dict__["__doc__"] = run.__doc__
    declared.__dict__["__signature__"] = _signature(run, dict(inputs))
    return declared


def _signature(run: Run, inputs: Mapping[str, str]) -> inspect.Signature:
    """Return the signature as a pipeline's author sees it: inputs are names, and ``to`` names the output."""
    arguments = [
        one.replace(annotation=str) if one.name in inputs else one for one in inspect.signature(run).parameters.values()
    ]
    to = inspect.Parameter("to", inspect.Parameter.KEYWORD_ONLY, annotation=str)
    return inspect.Signature([*arguments, to], return_annotation=Step)


def _kind(annotation: Any) -> str | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((mark for mark in get_args(annotation)[1:] if isinstance(mark, str) and mark in IN_WORDS), None)
