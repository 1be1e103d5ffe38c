"""A facility adds functions of its own: they are declared, found, checked and written by the same rules."""

import inspect
import sys
import types
from importlib.metadata import EntryPoint
from typing import Annotated

import pytest

from hcs_mesh.pipelines import (
    BadFunction,
    Between,
    FunctionUnavailable,
    Image,
    Labels,
    Mask,
    Number,
    Pipeline,
    PipelineSourceError,
    Registry,
    channel,
    function,
    gaussian,
    installed,
    parse,
    to_source,
)
from hcs_mesh.pipelines.registry import BUILT_INS


@function
def invert(image: Image, *, top: Annotated[int, Between(1, 65535)] = 65535) -> Image:
    """Turn dark into bright."""
    return top - image


def offer(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group="hcs_mesh.functions")


@pytest.fixture
def facility(monkeypatch: pytest.MonkeyPatch) -> Registry:
    package = types.ModuleType("facility_filters")
    package.__dict__.update(invert=invert, plain=lambda image: image, gaussian=invert)
    monkeypatch.setitem(sys.modules, "facility_filters", package)
    return Registry(
        offers=(
            offer("invert", "facility_filters:invert"),
            offer("plain", "facility_filters:plain"),
            offer("gone", "no_such_package:gone"),
            offer("gaussian", "facility_filters:gaussian"),
        )
    )


def test_a_facilitys_function_is_read_checked_and_written(facility: Registry) -> None:
    source = (
        "from facility_filters import invert\n"
        "from hcs_mesh.pipelines import Pipeline, channel\n"
        'pipeline = Pipeline(name="f", steps=[channel(0, to="a"), invert("a", to="b")])\n'
    )
    pipeline = parse(source, "f.py", facility)
    assert dict(pipeline.steps[1].parameters) == {"top": 65535}
    written = to_source(pipeline, facility)
    assert "from facility_filters import invert\n" in written
    assert parse(written, "written.py", facility) == pipeline
    with pytest.raises(PipelineSourceError, match="between 1 and 65535"):
        parse(source.replace('"a", to="b"', '"a", top=0, to="b"'), "f.py", facility)


def test_a_facility_cannot_replace_a_built_in_function(facility: Registry) -> None:
    assert facility.find("gaussian") is gaussian


@pytest.mark.parametrize(("name", "message"), [("gone", "cannot be loaded"), ("plain", "is not a registered function")])
def test_a_broken_facility_breaks_only_the_pipelines_that_name_it(facility: Registry, name: str, message: str) -> None:
    with pytest.raises(FunctionUnavailable, match=message):
        facility.find(name)
    source = f'pipeline = Pipeline(name="f", steps=[channel(0, to="a"), {name}("a", to="b")])\n'
    with pytest.raises(PipelineSourceError, match=message):
        parse(source, "f.py", facility)


def test_functions_that_no_pipeline_could_call_are_refused_when_declared() -> None:
    def silent(image: Image) -> object:
        return image

    def bare(image: Image, size) -> Mask:  # type: ignore[no-untyped-def]
        return image > size

    def listy(image: Image, *, sizes: list[int]) -> Mask:
        return image > sizes[0]

    def outside(image: Image, *, size: Annotated[int, Between(1, 9)] = 10) -> Mask:
        return image > size

    def counted(labels: Labels) -> Number:
        return float(labels.max())

    def named(image: Image, *, to: str) -> Image:
        return image

    for one in (silent, bare, listy, outside, counted, named):
        with pytest.raises(BadFunction):
            function(one)


def test_every_built_in_says_what_it_does_and_can_be_imported_by_its_name() -> None:
    import hcs_mesh.pipelines

    assert set(installed()) >= {one.name for one in BUILT_INS}
    for one in BUILT_INS:
        assert getattr(hcs_mesh.pipelines, one.name) is one
        assert one.__doc__ != type(one).__doc__
        assert one.usage().startswith(f"{one.name}(")
        assert "to" in inspect.signature(one).parameters


def test_a_pipeline_of_functions_that_are_not_here_cannot_be_written() -> None:
    pipeline = Pipeline(name="p", steps=[channel(0, to="a"), invert("a", to="b")])
    with pytest.raises(LookupError, match="invert"):
        to_source(pipeline)
