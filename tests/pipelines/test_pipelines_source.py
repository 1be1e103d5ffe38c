"""A pipeline's source is data: what is allowed reads back the same, all else is refused with its place."""

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcs_mesh.config.errors import MeshError
from hcs_mesh.pipelines import (
    Function,
    Pipeline,
    PipelineSourceError,
    Step,
    channel,
    gaussian,
    installed,
    parse,
    to_source,
)
from hcs_mesh.pipelines.model import NAME, TITLE
from hcs_mesh.pipelines.parameters import LARGEST_INT, Parameter

EXAMPLES = ("nuclei.py", "translocation.py")

names = st.from_regex(NAME, fullmatch=True)
texts = st.text(min_size=1, max_size=40).filter(str.isprintable)


def values(parameter: Parameter) -> st.SearchStrategy[object]:
    bounds = parameter.bounds
    low = max(-LARGEST_INT, bounds.low) if bounds else -LARGEST_INT
    high = min(LARGEST_INT, bounds.high) if bounds else LARGEST_INT
    made = {
        bool: st.booleans(),
        int: st.integers(int(low), int(high)),
        float: st.floats(float(low), float(high)),
        str: texts,
        type(None): st.none(),
    }
    choices = [st.sampled_from(parameter.choices)] if parameter.choices else []
    return st.one_of(*choices, *(made[one] for one in parameter.types))


@st.composite
def steps(draw: st.DrawFn) -> Step:
    registry = installed()
    function = registry.find(draw(st.sampled_from(sorted(registry))))
    assert isinstance(function, Function)
    inputs = {name: draw(names) for name, _ in function.inputs}
    parameters = {one.name: draw(values(one)) for one in function.parameters}
    return function(to=draw(names), **inputs, **parameters)  # type: ignore[arg-type]


pipelines = st.builds(
    Pipeline,
    name=st.from_regex(TITLE, fullmatch=True),
    steps=st.lists(steps(), min_size=1, max_size=8),
    keep=st.none() | st.lists(names, max_size=3),
    count=st.none() | names,
)


@settings(max_examples=150, deadline=None)
@given(pipelines)
def test_what_is_written_reads_back_the_same(pipeline: Pipeline) -> None:
    source = to_source(pipeline)
    assert parse(source, "written.py") == pipeline
    assert to_source(parse(source, "written.py")) == source


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300) | st.text(alphabet="()[]{}=,.'\"#\n abcPipeline0123456789", max_size=200))
def test_any_text_is_a_pipeline_or_a_refusal(source: str) -> None:
    try:
        parse(source, "any.py")
    except PipelineSourceError as refused:
        assert refused.problems  # noqa: PT017


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_read_the_same_as_data_and_as_python(checkout: Path, example: str) -> None:
    file = checkout / "examples" / "pipelines" / example
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert parse(file.read_text(encoding="utf-8"), example) == module.pipeline


def test_defaults_are_written_out_so_that_a_later_default_changes_no_stored_pipeline() -> None:
    pipeline = Pipeline(name="one", steps=[channel("DAPI", to="dna")])
    assert 'channel("DAPI", z=None, to="dna")' in to_source(pipeline)


def step(call: str) -> str:
    return f'pipeline = Pipeline(name="p", steps=[\n    channel(0, to="a"),\n    {call},\n])\n'


GOOD = 'gaussian("a", sigma_px=1, to="b")'

ANY = 0
"""Where Python's parser points at differs from version to version."""

BAD = [
    # source, line, column, part of the message
    ("", 1, 1, "no pipeline"),
    ("pipeline = Pipeline(", 1, ANY, "syntax error"),
    ("pipeline = Pipeline(name='p', steps=[)\n", 1, ANY, "syntax error"),
    ("x = 1\n", 1, 1, '"pipeline" is the only name'),
    ("import os\n", 1, 1, "import brings in code"),
    ("from os import system\n", 1, 16, "system is no registered function"),
    ("from hcs_mesh.pipelines import gausian\n", 1, 32, 'did you mean "gaussian"'),
    ("from hcs_mesh.pipelines import gaussian as g\n", 1, 1, "under their own names"),
    ("from .functions import function\n", 1, 1, "under their own names"),
    ("from elsewhere import gaussian\n", 1, 23, "comes from hcs_mesh.pipelines"),
    ("from hcs_mesh.pipelines import *\n", 1, 32, "no function"),
    ("pipeline = 3\n", 1, 12, "must be Pipeline"),
    ('pipeline = Pipeline("p", steps=[])\n', 1, 21, "by name"),
    ('pipeline = Pipeline(name="p")\n', 1, 12, "needs steps"),
    ('pipeline = Pipeline(name="p", steps=[])\n', 1, 12, "1 to 200 steps"),
    ('pipeline = Pipeline(name="../p", steps=[channel(0, to="a")])\n', 1, 26, "the pipeline's name"),
    ('pipeline = Pipeline(name=3, steps=[channel(0, to="a")])\n', 1, 26, "the pipeline's name"),
    ('pipeline = Pipeline(name="p", colour=1, steps=[channel(0, to="a")])\n', 1, 38, 'no argument "colour"'),
    ('pipeline = Pipeline(name="p", keep="a", steps=[channel(0, to="a")])\n', 1, 36, "keep must be a list"),
    ('pipeline = Pipeline(name="p", count=["a"], steps=[channel(0, to="a")])\n', 1, 37, "count must be the name"),
    ('pipeline = Pipeline(**{"name": "p"})\n', 1, 21, "** unpacks"),
    ("pipeline = Pipeline(name='p', steps=[s for s in ()])\n", 1, 37, "steps must be a list"),
    (step("__import__('os')"), 3, 5, 'no function "__import__"'),
    (step("__import__('os').system('true')"), 3, 5, "a dot reaches into objects"),
    (step("eval('1')"), 3, 5, 'no function "eval"'),
    (step('gausian("a", sigma_px=1, to="b")'), 3, 5, 'did you mean "gaussian"'),
    (step('gaussian("a", sgma_px=1, to="b")'), 3, 27, 'did you mean "sigma_px"'),
    (step('gaussian("a", to="b")'), 3, 5, "gaussian needs sigma_px, a number between 0.1 and 100"),
    (step('gaussian(sigma_px=1, to="b")'), 3, 5, "gaussian needs an input: image"),
    (step('gaussian("a", sigma_px=1)'), 3, 5, "a name for its output"),
    (step('gaussian("a", "b", sigma_px=1, to="b")'), 3, 19, "takes 1 argument without a name"),
    (step('gaussian("a", image="a", sigma_px=1, to="b")'), 3, 25, "given image twice"),
    (step('gaussian("a", sigma_px="1", to="b")'), 3, 28, "must be a number"),
    (step('gaussian("a", sigma_px=True, to="b")'), 3, 28, "must be a number"),
    (step('gaussian("a", sigma_px=-1, to="b")'), 3, 28, "between 0.1 and 100, not -1"),
    (step('gaussian("a", sigma_px=1e999, to="b")'), 3, 28, "below 2**53"),
    (step('gaussian("a", sigma_px=1j, to="b")'), 3, 28, "complex is no parameter's type"),
    (step('gaussian("a", sigma_px=10**9, to="b")'), 3, 28, "arithmetic is computed"),
    (step(f'gaussian("a", sigma_px={"9" * 300}, to="b")'), 3, 28, "beyond 2**53"),
    (step(f'gaussian("a", sigma_px=-{"9" * 300}, to="b")'), 3, 29, "beyond 2**53"),
    (step(f'gaussian("a", sigma_px={"9" * 9000}, to="b")'), 3, ANY, "syntax error"),
    (step('gaussian("a", sigma_px=b"1", to="b")'), 3, 28, "bytes is no parameter's type"),
    (step('gaussian("a", sigma_px=..., to="b")'), 3, 28, "ellipsis is no parameter's type"),
    (step('gaussian(a, sigma_px=1, to="b")'), 3, 14, "a is a variable"),
    (step('gaussian(f"{a}", sigma_px=1, to="b")'), 3, 14, "an f-string is computed"),
    (step('gaussian(gaussian("a", sigma_px=1, to="b"), sigma_px=1, to="c")'), 3, 14, "stands where a value"),
    (step('gaussian("a".upper(), sigma_px=1, to="b")'), 3, 14, "data and is never executed"),
    (step('gaussian("a"[0], sigma_px=1, to="b")'), 3, 14, "an index reaches"),
    (step('gaussian(*["a"], sigma_px=1, to="b")'), 3, 14, "a star unpacks"),
    (step('gaussian("a", **{"sigma_px": 1}, to="b")'), 3, 19, "** unpacks"),
    (step('gaussian("a", sigma_px=1, to="../b")'), 3, 34, "to must be the name of an output"),
    (step('gaussian("a", sigma_px=1, to=[])'), 3, 34, "to must be the name of an output"),
    (step('gaussian("a", sigma_px=[1], to="b")'), 3, 28, "must be a number"),
    (step('gaussian("a", sigma_px=(lambda: 1)(), to="b")'), 3, 28, "never executed"),
    (step('gaussian("a", sigma_px=1 if 1 else 2, to="b")'), 3, 28, "a condition is computed"),
    (step('gaussian("a", sigma_px=(x := 1), to="b")'), 3, 29, "assigned inside an expression"),
    (step('channel("", to="b")'), 3, 13, "printable characters"),
    (step('channel("a\\x00", to="b")'), 3, 13, "printable characters"),
    (step('channel(0, z="projektion", to="b")'), 3, 18, 'did you mean "projection"'),
    (step('channel(-1, to="b")'), 3, 13, "between 0 and 1000"),
    (step('label("a", connectivity=6, to="b")'), 3, 29, "must be 4 or 8, not 6"),
    (step('measure_well("a", column="x", statistic="medium", to="b")'), 3, 45, 'did you mean "median"'),
    (step('"gaussian"'), 3, 5, "a step is the call of a function"),
    ("def pipeline(): pass\n", 1, 1, "a definition is code"),
    ("class pipeline: pass\n", 1, 1, "a definition is code"),
    ("for i in range(9): pass\n", 1, 1, "a loop is code"),
    ("with open('x'): pass\n", 1, 1, "a with block"),
    ("pipeline: int = 3\n", 1, 1, "AnnAssign is not part"),
    (step(GOOD) + "print(pipeline)\n", 5, 1, "a statement that is no assignment does nothing"),
    (step(GOOD) + step(GOOD), 5, 1, "a file holds one pipeline"),
    ("pipeline = " + "(" * 1000 + ")" * 1000, 1, ANY, "syntax error"),
    ("pipeline = " + "[" * 150 + "]" * 150, 1, 12, "must be Pipeline"),
    ("pipeline = " + "-" * 50_000 + "1", 1, 1, "nested too deeply"),
    ("pipeline = 1" + "+1" * 50_000, 1, 1, "nested too deeply"),
    ("pipeline = a" + ".a" * 50_000, 1, 1, "nested too deeply"),
    ("#" * 200_001, 1, 1, "at most 200000"),
    ("pipeline = '\0'\n", 1, 1, "null bytes"),
    ("pipeline = '\ud800'\n", 1, 1, "no Python text"),
]


@pytest.mark.parametrize(("source", "line", "column", "message"), BAD, ids=lambda one: str(one)[:60])
def test_bad_source_is_refused_with_its_place_and_a_way_out(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(PipelineSourceError) as refused:
        parse(source, "bad.py")
    first = refused.value.problems[0]
    assert message in first.message
    assert first.line == line
    assert first.column == column or column == ANY
    assert first.hint
    assert str(refused.value).startswith(f"bad.py:{line}:{first.column}: ")
    assert isinstance(refused.value, MeshError)
    assert isinstance(refused.value, ValueError)


def test_all_problems_are_told_at_once() -> None:
    source = (
        "from os import path\n"
        'pipeline = Pipeline(name="p", steps=[\n'
        '    channel(0, to="dna"),\n'
        '    gausian("dna", sigma_px=1, to="smooth"),\n'
        '    otsu("smooth", corection="high", to=3),\n'
        "    label(mask),\n"
        "])\n"
    )
    with pytest.raises(PipelineSourceError) as refused:
        parse(source, "many.py")
    lines = [problem.line for problem in refused.value.problems]
    assert lines == [1, 4, 5, 5, 6]
    assert len(str(refused.value).splitlines()) == 5


def test_reading_executes_nothing(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    source = step(f"__import__('pathlib').Path({str(touched)!r}).touch()")
    before = set(sys.modules)
    with pytest.raises(PipelineSourceError):
        parse(source, "evil.py")
    assert not touched.exists()
    assert set(sys.modules) == before


def test_a_step_built_in_python_is_checked_by_the_same_rules() -> None:
    with pytest.raises(ValueError, match=r"between 0\.1 and 100"):
        gaussian("dna", sigma_px=-1, to="smooth")
    with pytest.raises(ValueError, match="1 to 200 steps"):
        Pipeline(name="empty", steps=[])
