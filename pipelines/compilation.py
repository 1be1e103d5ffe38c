"""Fits a pipeline to a plate: every reason why it cannot run is told before the first plane is read (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..plates.model import Image, Missing, Plate
from .devices import DEVICE_NAME
from .errors import CompilationFailed, FunctionUnavailable
from .functions import Function
from .kinds import IN_WORDS
from .model import Pipeline, Step
from .parameters import suggestion
from .registry import Registry, installed
from .sources import Source, Z, incomplete, place, why_none

CHANNEL = "channel"
LEAVE_OUT = "leave the choice of wells out: an image on no plate is run as a whole"


@dataclass(frozen=True)
class Call:
    """One step with its function found; ``c`` is the channel that its first input came from."""

    step: Step
    function: Function
    c: int


@dataclass(frozen=True)
class Compiled:
    """A pipeline that fits a plate: what is read, what is called in which order, what is kept."""

    pipeline: Pipeline
    plate: Plate
    wells: tuple[str, ...]
    sources: tuple[Source, ...]
    per_field: tuple[Call, ...]
    per_well: tuple[Call, ...]
    keep: tuple[str, ...]
    count: str | None
    kinds: dict[str, str]
    notes: tuple[str, ...] = ()


def compile_pipeline(
    pipeline: Pipeline,
    plate: Plate,
    *,
    wells: Iterable[str] | None = None,
    devices: Iterable[str] = (),
    functions: Registry | None = None,
) -> Compiled:
    """Check the pipeline against the plate, its wells and the devices that shall compute it.

    Raises:
        CompilationFailed: it cannot run; ``errors`` holds every reason found.
    """
    return _Compilation(pipeline, plate, wells, tuple(devices), functions or installed()).result()


class _Compilation:
    def __init__(
        self,
        pipeline: Pipeline,
        plate: Plate,
        wells: Iterable[str] | None,
        devices: tuple[str, ...],
        functions: Registry,
    ) -> None:
        self.errors: list[str] = []
        self._pipeline = pipeline
        self._plate = plate
        self._functions = functions
        self._devices = devices
        self._wells = self._chosen(wells)
        self._n_of_choice = len(self.errors)
        chosen = plate.only(self._wells)
        self._images = list(chosen.images())
        self._missing, self._more_missing = chosen.missing, chosen.more_missing
        self._kinds: dict[str, str] = {}
        self._made_by: dict[str, int] = {}
        self._channel_of: dict[str, int] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._sources: list[Source] = []
        self._stacks: dict[str, str] = {}

    def result(self) -> Compiled:
        for device in self._devices:
            if not DEVICE_NAME.fullmatch(device):
                self.errors.append(f'there is no device "{device}": devices are called "cpu", "cuda:0", "cuda:1"...')
        calls: list[Call] = []
        for number, step in enumerate(self._pipeline.steps, start=1):
            call = self._step(number, step)
            if call is not None:
                calls.append(call)
        labels = [name for name, kind in self._kinds.items() if kind == "labels"]
        turned = {name for call in calls if call.function.gives == "labels" for _, name in call.step.inputs}
        finished = [name for name in labels if name not in turned]
        keep = tuple(finished) if self._pipeline.keep is None else tuple(self._pipeline.keep)
        for name in dict.fromkeys(keep):
            self._must_be(name, ("image", "stack", "mask", "labels"), f"keep names {name}")
        count = self._pipeline.count or (finished[-1] if finished else None)
        if self._pipeline.count is not None:
            self._must_be(self._pipeline.count, ("labels",), f"count names {self._pipeline.count}")
        notes = self._complete() if not self.errors else ()
        if self.errors:
            raise CompilationFailed(self._pipeline.name, tuple(dict.fromkeys(self.errors)), hint=self._hint())
        return Compiled(
            pipeline=self._pipeline,
            plate=self._plate,
            wells=self._wells,
            sources=tuple(self._sources),
            per_field=tuple(call for call in calls if not call.function.per_well),
            per_well=tuple(call for call in calls if call.function.per_well),
            keep=tuple(dict.fromkeys(keep)),
            count=count,
            kinds=dict(self._kinds),
            notes=notes,
        )

    def _hint(self) -> str:
        """Where to mend it: the choice of wells is the caller's, the rest is the pipeline's."""
        on_plate = [well for well in self._plate.declared_wells if well]
        choose = "choose wells that the plate has, or leave the choice out to run all" if on_plate else LEAVE_OUT
        mend = "mend the pipeline's file and run it again"
        hints = [choose] if self._n_of_choice else []
        hints += [mend] if len(self.errors) > self._n_of_choice else []
        return "; ".join([*hints, "no plane has been read"])

    def _chosen(self, wells: Iterable[str] | None) -> tuple[str, ...]:
        held = self._plate.declared_wells
        if not held:
            self.errors.append(f'plate "{self._plate.name}" holds no images')
        if wells is None:
            return held
        asked = tuple(dict.fromkeys(wells))
        if not asked:
            self.errors.append("no wells were chosen: leave the choice out to run all")
        for well in asked:
            if well not in held and held == ("",):
                self.errors.append(f'"{self._plate.name}" is an image on no plate, and has no well {well}')
            elif well not in held:
                near = suggestion(well, held) or f": it has {_listed(held)}"
                self.errors.append(f'well {well} is not on plate "{self._plate.name}"{near}')
        return tuple(well for well in asked if well in held)

    def _step(self, number: int, step: Step) -> Call | None:
        where = f"step {number}, {step.function}"
        try:
            function = self._functions.find(step.function)
        except FunctionUnavailable as wrong:
            self.errors.append(f"{where}: {wrong}")
            return None
        if function is None:
            near = suggestion(step.function, self._functions)
            self.errors.append(f"{where}: there is no such function here{near}")
            return None
        bound, complaints = function.bind((), {**dict(step.inputs), **dict(step.parameters), "to": step.to})
        self.errors += [f"{where}: {complaint.message}" for complaint in complaints]
        if bound is None:
            self._define(where, number, step.to, "" if function.name == CHANNEL else function.gives)
            return None
        if function.name == CHANNEL:
            self._define(where, number, step.to, self._read(where, bound))
            return None
        for argument, name in bound.inputs:
            self._input(where, number, function, argument, name)
        for argument, value in bound.parameters:
            self._column(where, function, dict(bound.inputs), argument, value)
        c = next((self._channel_of[name] for _, name in bound.inputs if name in self._channel_of), 0)
        self._channel_of.setdefault(step.to, c)
        self._columns.setdefault(step.to, function.columns)
        self._define(where, number, step.to, function.gives)
        return Call(bound, function, c)

    def _define(self, where: str, number: int, name: str, kind: str) -> None:
        if name in self._made_by:
            self.errors.append(
                f"{where}: step {self._made_by[name]} already made {name}: give this output another name"
            )
            return
        self._made_by[name] = number
        self._kinds[name] = kind

    def _input(self, where: str, number: int, function: Function, argument: str, name: str) -> None:
        wanted = dict(function.inputs)[argument]
        if name not in self._kinds:
            later = next((n for n, one in enumerate(self._pipeline.steps, 1) if one.to == name), None)
            if later is not None:
                made = "by this step itself" if later == number else f"only later, by step {later}"
                self.errors.append(f"{where}: {name} is made {made}: steps run in the order they are written")
            else:
                near = suggestion(name, self._kinds) or ": name the output of an earlier step"
                self.errors.append(f"{where}: nothing makes {name}{near}")
            return
        kind = self._kinds[name]
        if kind in ("", wanted) or (kind, wanted) == ("image", "stack"):
            missing = [column for column in function.needs if column not in self._columns.get(name, ())]
            if wanted == "table" and missing:
                self.errors.append(f"{where}: table {name} has no column {', '.join(missing)}")
        elif (kind, wanted) == ("stack", "image"):
            self.errors.append(
                f"{where}: {argument} must be a plane, and {name} is {self._stacks.get(name, 'a z stack')}: "
                f'add max_projection("{name}", to="..."), or choose one with channel(..., z=0) '
                'or the microscope\'s own with channel(..., z="projection")'
            )
        else:
            self.errors.append(f"{where}: {argument} must be {IN_WORDS[wanted]}, and {name} is {IN_WORDS[kind]}")

    def _column(self, where: str, function: Function, inputs: dict[str, str], argument: str, value: object) -> None:
        table = next((one.column_of for one in function.parameters if one.name == argument), None)
        if table is None or inputs[table] not in self._columns or self._kinds.get(inputs[table]) != "table":
            return
        columns = self._columns[inputs[table]]
        if columns and value not in columns:
            near = suggestion(value, columns) or f": it has {', '.join(columns)}"
            self.errors.append(f'{where}: table {inputs[table]} has no column "{value}"{near}')

    def _read(self, where: str, step: Step) -> str:
        """Find the channel on the plate; return the kind of what it gives, empty when it cannot be known."""
        parameters = dict(step.parameters)
        which, z = parameters["which"], parameters["z"]
        channels = self._plate.channels
        held = ", ".join(f'{index} "{name}"' for index, name in enumerate(channels)) or "none"
        c = self._channel_index(which)
        if c is None:
            near = suggestion(which, channels) if isinstance(which, str) else ""
            wanted = f'"{which}"' if isinstance(which, str) else f"number {which}"
            self.errors.append(
                f'{where}: channel {wanted} is not on plate "{self._plate.name}"{near or "."} It has {held}'
            )
            return ""
        chosen: Z = "projection" if z == "projection" else (z if isinstance(z, int) else None)
        source = Source(step.to, c, chosen)
        self._sources.append(source)
        self._channel_of.setdefault(step.to, c)
        n_z: dict[tuple[str, int, int], int] = {}
        # What is missing counts: a stack that lost its planes in one well is a stack there as in the others.
        declared: list[Image | Missing] = [*self._images, *self._missing]
        for image in declared:
            if source.takes(image):
                key = (image.well, image.field, image.t)
                n_z[key] = n_z.get(key, 0) + 1
        if not n_z:
            if self._images:
                self.errors.append(f"{where}: {why_none(source, self._images)}")
            return ""
        if chosen is None and max(n_z.values()) > 1:
            self._stacks[step.to] = f"a z stack of {max(n_z.values())} planes"
            return "stack"
        return "image"

    def _channel_index(self, which: object) -> int | None:
        n_channels = max((image.c + 1 for image in self._images), default=0)
        if isinstance(which, int):
            return which if which < max(len(self._plate.channels), n_channels) else None
        names = self._plate.channels
        if which in names:
            return names.index(str(which))
        folded = [name.casefold() for name in names]
        return folded.index(str(which).casefold()) if folded.count(str(which).casefold()) == 1 else None

    def _must_be(self, name: str, kinds: tuple[str, ...], what: str) -> None:
        kind = self._kinds.get(name)
        if kind is None:
            near = suggestion(name, self._kinds)
            self.errors.append(f"{what}, which no step makes{near}")
        elif kind and kind not in kinds:
            self.errors.append(
                f"{what}, which is {IN_WORDS[kind]} and not {' or '.join(IN_WORDS[one] for one in kinds)}"
            )

    def _complete(self) -> tuple[str, ...]:
        """Note the fields that cannot be analysed; where none ever could there is nothing to run."""
        if not self._sources:
            self.errors.append('the pipeline reads no channel: begin with channel(0, to="...")')
            return ()
        fields: dict[tuple[str, int, int], tuple[list[Image], list[Missing]]] = {}
        for image in self._images:
            fields.setdefault((image.well, image.field, image.t), ([], []))[0].append(image)
        for one in self._missing:
            fields.setdefault((one.well, one.field, one.t), ([], []))[1].append(one)
        notes: list[str] = []
        for (well, field, t), (images, missing) in fields.items():
            why = incomplete(self._sources, images, missing, self._plate)
            if why:
                notes.append(f"{place(well, field, t)}: {why}")
        n_more = sum(n for _, n in self._more_missing)
        # Images that were made and got lost are the plate's fault and not the pipeline's: wells tell of those.
        any_lost = bool(n_more) or any(source.takes(one) for one in self._missing for source in self._sources)
        if fields and len(notes) == len(fields) and not any_lost:
            self.errors.append(f"no field holds every channel that is read: {notes[0]}")
        if n_more:
            notes.append(f"{n_more} more images are missing: fields of which none is there are not all named")
        return tuple(notes)


def _listed(wells: tuple[str, ...]) -> str:
    return ", ".join(wells[:8]) + (f" and {len(wells) - 8} more" if len(wells) > 8 else "")
