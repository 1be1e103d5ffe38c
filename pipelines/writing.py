"""Writes a pipeline as the source that reads back as the same pipeline: one argument order, one layout (pure)."""

from __future__ import annotations

from .functions import BUILT_IN
from .model import Pipeline, Step
from .parameters import Value
from .registry import Registry, installed
from .source import VARIABLE

LINE = 110


def to_source(pipeline: Pipeline, functions: Registry | None = None) -> str:
    """Return Python that imports, reads and diffs well; ``parse`` gives the pipeline back.

    Raises:
        KeyError: a step calls a function that is not registered here.
    """
    functions = functions or installed()
    imports: dict[str, set[str]] = {BUILT_IN: {"Pipeline"}}
    for step in pipeline.steps:
        homes = functions.modules(step.function)
        if not homes:
            raise KeyError(f"no function {step.function} is registered")
        imports.setdefault(homes[0], set()).add(step.function)
    lines = [_import(module, names) for module, names in sorted(imports.items())]
    lines += ["", f"{VARIABLE} = Pipeline(", f"    name={_text(pipeline.name)},", "    steps=["]
    lines += [_call(step, functions) for step in pipeline.steps]
    lines += ["    ],"]
    if pipeline.keep is not None:
        lines.append(f"    keep=[{', '.join(_text(name) for name in pipeline.keep)}],")
    if pipeline.count is not None:
        lines.append(f"    count={_text(pipeline.count)},")
    return "\n".join([*lines, ")", ""])


def _import(module: str, names: set[str]) -> str:
    ordered = sorted(names, key=lambda name: (name != "Pipeline", name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= LINE:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in ordered) + ")"


def _call(step: Step, functions: Registry) -> str:
    declared = functions.find(step.function)
    positional = declared.positional if declared is not None else ()
    values: dict[str, Value] = {**dict(step.inputs), **dict(step.parameters)}
    arguments = [_literal(values.pop(name)) for name in positional[:1]]
    arguments += [f"{name}={_literal(value)}" for name, value in values.items()]
    arguments.append(f"to={_text(step.to)}")
    line = f"        {step.function}({', '.join(arguments)}),"
    if len(line) <= LINE:
        return line
    inner = "".join(f"            {argument},\n" for argument in arguments)
    return f"        {step.function}(\n{inner}        ),"


def _literal(value: Value) -> str:
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    """Write a text in double quotes, as formatters do."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
