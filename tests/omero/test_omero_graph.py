"""The graph behind the stand-in: whole changes, ways back, and what a kill leaves."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omero_server.graph import Graph, NoSuchRow
from omero_server.kept_rows import KeptRows
from omero_server.schema import schema


class Broken(Exception):
    pass


def described(graph: Graph) -> list[str]:
    """Everything that can be seen of a graph."""
    seen = []
    for of in ("Plate", "Well", "WellSample", "Image", "TagAnnotation", "PlateAnnotationLink"):
        for row in graph.all(of):
            values = {name: str(value) for name, value in sorted(row.values.items()) if value is not None}
            holders = sorted(f"{name} {one}" for name, one in graph.holders(row))
            seen.append(f"{row} {values} {row.position} {row.owner} {holders}")
    return seen


def build(graph: Graph) -> None:
    with graph.changing():
        plate = graph.add("Plate", name="P")
        well = graph.add("Well", plate=plate, row=0, column=0)
        for name in ("first", "second"):
            graph.add("WellSample", well=well, image=graph.add("Image", name=name))
        graph.add("PlateAnnotationLink", parent=plate, child=graph.add("TagAnnotation", textValue="good"))


def test_elements_of_an_ordered_collection_stand_in_the_order_they_came(tmp_path: Path) -> None:
    graph = Graph(schema())
    build(graph)
    [well] = graph.all("Well")
    assert [one["image"]["name"] for one in graph.collection(well, "wellSamples")] == ["first", "second"]


def test_ids_are_shared_within_a_family_of_classes_and_never_used_twice() -> None:
    graph = Graph(schema())
    with graph.changing():
        tag, keys = graph.add("TagAnnotation"), graph.add("MapAnnotation")
        assert (tag.id, keys.id) == (1, 2)
        graph.remove(keys)
        assert graph.add("CommentAnnotation").id == 3
    assert graph.find("Annotation", 1) is tag
    assert graph.find("MapAnnotation", 1) is None
    with pytest.raises(NoSuchRow):
        graph.get("Annotation", 2)


def test_what_was_kept_is_there_for_the_next_server_and_so_are_the_last_ids(tmp_path: Path) -> None:
    kept = KeptRows(tmp_path / "rows.sqlite", schema())
    graph = kept.load()
    build(graph)
    with graph.changing():
        mask = graph.add("Mask", bytes=b"\x00\xff", x=1.5)
        units = graph.add("Pixels", physicalSizeX={"value": 0.5, "unit": "MICROMETER"})
        graph.describe(units, owner=graph.add("Experimenter", omeName="ada"))
        gone = graph.add("Image", name="gone")
    with graph.changing():
        graph.remove(gone)
    kept.close()
    again = KeptRows(tmp_path / "rows.sqlite", schema())
    read = again.load()
    assert described(read) == described(graph)
    assert read.get("Mask", mask.id)["bytes"] == b"\x00\xff"
    found = read.get("Pixels", units.id)
    assert found["physicalSizeX"] == {"value": 0.5, "unit": "MICROMETER"}
    assert found.owner is read.one("Experimenter", omeName="ada")
    with read.changing():
        assert read.add("Image", name="next").id == 4
    again.close()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 1)),
        st.tuples(st.just("rename"), st.integers(0, 3)),
        st.tuples(st.just("move"), st.integers(0, 3)),
        st.tuples(st.just("remove"), st.integers(0, 3)),
    ),
    max_size=8,
)


@given(steps)
def test_a_change_that_fails_was_never_made(done: list[tuple[str, int]]) -> None:
    graph = Graph(schema())
    build(graph)
    before, last_ids = described(graph), dict(graph.last_ids)
    with pytest.raises(Broken):
        _do_all_and_break(graph, done)
    assert described(graph) == before
    assert all(graph.last_ids[table] >= last for table, last in last_ids.items())


def _do_all_and_break(graph: Graph, done: list[tuple[str, int]]) -> None:
    with graph.changing():
        for what, n in done:
            wells, samples = list(graph.all("Well")), list(graph.all("WellSample"))
            if what == "add":
                graph.add("Well", plate=next(graph.all("Plate")), row=n)
            elif what == "rename":
                image = list(graph.all("Image"))[n % 2]
                graph.put(image, "name", f"{image['name']}!")
            elif what == "move" and samples:
                graph.put(samples[n % len(samples)], "well", wells[-1])
            elif what == "remove" and samples:
                graph.remove(samples[n % len(samples)])
        raise Broken
