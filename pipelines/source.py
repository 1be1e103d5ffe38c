"""Reads a pipeline's source as data: Python's grammar, an allow-list of its nodes, and nothing is executed (pure).

What is allowed: a docstring, ``from hcs_mesh.pipelines import ...``, and one assignment
``pipeline = Pipeline(...)`` of calls of registered functions with literals. Everything else is refused
with its place in the file; as much as can be told is told at once.
"""

from __future__ import annotations

import ast
import warnings

from .errors import FunctionUnavailable, PipelineSourceError, Problem
from .functions import BUILT_IN, Complaint, Function
from .model import Pipeline, Step, complain
from .parameters import LARGEST_INT, REQUIRED, suggestion
from .registry import Registry, installed

LONGEST_SOURCE = 200_000
VARIABLE = "pipeline"
MOST_PROBLEMS = 50

_FORM = f'the file holds one "{VARIABLE} = Pipeline(name=..., steps=[...])" of function calls, texts and numbers'
_REFUSED: dict[type[ast.AST], str] = {
    ast.Import: "import brings in code",
    ast.Expr: "a statement that is no assignment does nothing",
    ast.Attribute: "a dot reaches into objects",
    ast.JoinedStr: "an f-string is computed",
    ast.ListComp: "a comprehension is a loop",
    ast.SetComp: "a comprehension is a loop",
    ast.DictComp: "a comprehension is a loop",
    ast.GeneratorExp: "a comprehension is a loop",
    ast.Lambda: "a lambda is code",
    ast.FunctionDef: "a definition is code",
    ast.AsyncFunctionDef: "a definition is code",
    ast.ClassDef: "a definition is code",
    ast.BinOp: "arithmetic is computed",
    ast.BoolOp: "a condition is computed",
    ast.Compare: "a comparison is computed",
    ast.IfExp: "a condition is computed",
    ast.Subscript: "an index reaches into objects",
    ast.Starred: "a star unpacks something computed",
    ast.NamedExpr: "a name is assigned inside an expression",
    ast.Await: "await is code",
    ast.For: "a loop is code",
    ast.While: "a loop is code",
    ast.If: "a condition is code",
    ast.With: "a with block is code",
    ast.Try: "a try block is code",
}


def parse(source: str, filename: str, functions: Registry | None = None) -> Pipeline:
    """Turn source into the pipeline it describes, executing none of it.

    Raises:
        PipelineSourceError: the text is no pipeline; every problem found is listed with line and column.
    """
    tree = _tree(source, filename)
    reader = _Reader(functions or installed())
    try:
        pipeline = reader.module(tree)
    except RecursionError:
        raise _refused(filename, 1, 1, "the source is nested too deeply", "write one call a step") from None
    if pipeline is None:
        found = sorted(reader.problems, key=lambda one: (one.line, one.column))
        raise PipelineSourceError(filename, tuple(dict.fromkeys(found))[:MOST_PROBLEMS])
    return pipeline


def _refused(filename: str, line: int, column: int, message: str, hint: str) -> PipelineSourceError:
    return PipelineSourceError(filename, (Problem(line=line, column=column, message=message, hint=hint),))


def _tree(source: str, filename: str) -> ast.Module:
    if len(source) > LONGEST_SOURCE:
        message = f"the source has {len(source)} characters; a pipeline has at most {LONGEST_SOURCE}"
        raise _refused(filename, 1, 1, message, "is this the right file?")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in texts, which are refused below where they matter
            return ast.parse(source, filename)
    except SyntaxError as wrong:
        line, column = wrong.lineno or 1, max(wrong.offset or 1, 1)
        raise _refused(filename, line, column, f"syntax error: {wrong.msg}", _FORM) from None
    except (RecursionError, MemoryError):
        raise _refused(filename, 1, 1, "the source is nested too deeply", "write one call a step") from None
    except ValueError as wrong:  # null bytes, lone surrogates
        raise _refused(filename, 1, 1, f"this is no Python text: {wrong}", _FORM) from None


class _Reader:
    """Walks the allowed nodes, collecting problems instead of stopping at the first."""

    def __init__(self, functions: Registry) -> None:
        self.problems: list[Problem] = []
        self._functions = functions

    def module(self, tree: ast.Module) -> Pipeline | None:
        pipelines: list[Pipeline | None] = []
        for position, node in enumerate(tree.body):
            match node:
                case ast.Expr(value=ast.Constant(value=str())) if position == 0:
                    pass
                case ast.ImportFrom():
                    self._import(node)
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == VARIABLE:
                    if pipelines:
                        self._problem(node, "a file holds one pipeline; this is another", _FORM)
                    pipelines.append(self._pipeline(value))
                case ast.Assign(targets=[ast.Name(id=target)]):
                    near = f'"{VARIABLE}" is the only name a file may assign, not "{target}"'
                    self._problem(node, near, _FORM)
                case _:
                    self._refuse(node)
        if not pipelines and not self.problems:
            self.problems.append(Problem(line=1, column=1, message="there is no pipeline in this file", hint=_FORM))
        return None if self.problems else pipelines[0]

    def _import(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level or any(alias.asname for alias in node.names):
            self._problem(
                node, "functions are imported under their own names, from a package", f"from {BUILT_IN} import ..."
            )
            return
        for alias in node.names:
            if module == BUILT_IN and alias.name == "Pipeline":
                continue
            homes = self._functions.modules(alias.name)
            if module in homes:
                continue
            if homes:
                self._problem(
                    alias,
                    f"{alias.name} comes from {homes[0]}, not from {module}",
                    f"from {homes[0]} import {alias.name}",
                )
            elif module == BUILT_IN:
                self._unknown(alias, alias.name)
            else:
                message = f"nothing can be imported from {module}: {alias.name} is no registered function"
                self._problem(
                    alias, message, f"a pipeline imports from {BUILT_IN} only, or a package that registers functions"
                )

    def _pipeline(self, node: ast.expr) -> Pipeline | None:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Pipeline"):
            self._problem(node, f"{VARIABLE} must be Pipeline(...)", _FORM)
            return None
        for argument in node.args:
            self._problem(argument, "Pipeline takes its arguments by name", _FORM)
        given: dict[str, object] = {}
        for keyword in node.keywords:
            name, value = keyword.arg, keyword.value
            if name is None:
                self._problem(keyword, "** unpacks something computed", _FORM)
            elif name == "steps":
                given[name] = self._steps(value)
            else:
                given[name] = read = self._literal(value)
                if read is not REQUIRED and (complaint := complain(name, read)):
                    self._problem(value, complaint, _FORM)
        for name in ("name", "steps"):
            if name not in given and not node.args and all(one.arg for one in node.keywords):
                self._problem(node, f"Pipeline needs {name}", _FORM)
        if self.problems:
            return None
        complaint = complain("steps", given["steps"])
        if complaint:
            self._problem(node, complaint, _FORM)
            return None
        return Pipeline(**given)  # type: ignore[arg-type]

    def _steps(self, node: ast.expr) -> list[Step | None]:
        if not isinstance(node, (ast.List, ast.Tuple)):
            self._problem(node, "steps must be a list of function calls: steps=[...]", _FORM)
            return []
        return [self._step(element) for element in node.elts]

    def _step(self, node: ast.expr) -> Step | None:
        if not isinstance(node, ast.Call):
            self._problem(
                node, "a step is the call of a function", 'such as gaussian("dna", sigma_px=2.0, to="smooth")'
            )
            return None
        if not isinstance(node.func, ast.Name):
            self._refuse(node.func)
            return None
        function = self._find(node.func, node.func.id)
        places: dict[str | int, ast.AST] = {"": node}
        arguments: list[object] = []
        named: dict[str, object] = {}
        readable = True
        for position, argument in enumerate(node.args):
            places[position] = argument
            arguments.append(self._literal(argument))
        for keyword in node.keywords:
            if keyword.arg is None:
                self._problem(keyword, "** unpacks something computed", "write every parameter by its name")
                readable = False
                continue
            places[keyword.arg] = keyword.value
            named[keyword.arg] = self._literal(keyword.value)
        readable &= REQUIRED not in arguments and REQUIRED not in named.values()
        if function is None or not readable:
            return None
        step, complaints = function.bind(arguments, named)
        for complaint in complaints:
            self._complain(complaint, function, places)
        return step

    def _complain(self, complaint: Complaint, function: Function, places: dict[str | int, ast.AST]) -> None:
        self._problem(places.get(complaint.argument, places[""]), complaint.message, f"write {function.usage()}")

    def _find(self, node: ast.AST, name: str) -> Function | None:
        try:
            function = self._functions.find(name)
        except FunctionUnavailable as wrong:
            self._problem(node, str(wrong), wrong.hint)
            return None
        if function is None:
            self._unknown(node, name)
        return function

    def _unknown(self, node: ast.AST, name: str) -> None:
        known = sorted(self._functions)
        near = suggestion(name, known)
        self._problem(node, f'there is no function "{name[:100]}"{near}', f"the functions are {', '.join(known)}")

    def _literal(self, node: ast.expr) -> object:
        """Return the literal's value, or REQUIRED after telling why it is none."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                if isinstance(value, int) and abs(value) > LARGEST_INT:
                    self._problem(node, "this whole number is beyond 2**53", "write a smaller number")
                    return REQUIRED
                return value
            case ast.Constant(value=value):
                self._problem(
                    node,
                    f"{type(value).__name__} is no parameter's type",
                    "write a text, a number, True, False or None",
                )
                return REQUIRED
            case ast.UnaryOp(
                op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as value)
            ) if not isinstance(value, bool):
                read = self._literal(node.operand)
                if not isinstance(read, (int, float)):
                    return REQUIRED
                return -read if isinstance(sign, ast.USub) else read
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                values = [self._literal(element) for element in elements]
                return REQUIRED if any(value is REQUIRED for value in values) else values
            case ast.Name(id=name):
                self._problem(
                    node,
                    f"{name[:100]} is a variable; a pipeline holds values",
                    f'write "{name[:100]}" if the output of that name is meant',
                )
                return REQUIRED
            case ast.Call(func=ast.Name(id=name)):
                self._problem(
                    node,
                    f"{name[:100]}(...) stands where a value is wanted",
                    'give the step a name with to="..." and use that name',
                )
                return REQUIRED
            case _:
                self._refuse(node)
                return REQUIRED

    def _refuse(self, node: ast.AST) -> None:
        what = _REFUSED.get(type(node), f"{type(node).__name__} is not part of a pipeline")
        if isinstance(node, ast.Call):
            # Named by its outermost name: what is called on a call's result says less than where it came from.
            called: ast.AST = node
            while isinstance(called, ast.Call | ast.Attribute):
                called = called.func if isinstance(called, ast.Call) else called.value
            what = f"a call of {called.id[:100]} is code" if isinstance(called, ast.Name) else "a call is code"
        self._problem(node, f"{what}: a pipeline is data and is never executed", _FORM)

    def _problem(self, node: ast.AST, message: str, hint: str) -> None:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        self.problems.append(Problem(line=line, column=column, message=message, hint=hint))
