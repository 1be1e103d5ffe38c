"""What queries give over a small graph."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omero_server.graph import Graph
from omero_server.hql_evaluation import Evaluation
from omero_server.hql_functions import OutOfRange
from omero_server.hql_tokens import HqlError
from omero_server.schema import schema

PLATE_QUERY = """
    select well.row, well.column, index(ws), pa.id, img.id, img.name, img.series, pix.id, pix.sizeX, pt.value,
    dor.value, fs.id, fse.clientPath, orig.id, orig.path, orig.name, orig.size, orig.hash
    from Well well join well.wellSamples ws left outer join ws.plateAcquisition pa join ws.image img
    join img.pixels pix join pix.pixelsType pt join pix.dimensionOrder dor left outer join img.fileset fs
    left outer join fs.usedFiles fse left outer join fse.originalFile orig
    where well.plate.id = :pid order by well.row, well.column, index(ws)"""


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Two plates: P of 2 x 2 wells with 2 fields each, and an empty one; two images stand alone."""
    graph = Graph(schema())
    with graph.changing():
        type_, order = graph.add("PixelsType", value="uint16"), graph.add("DimensionOrder", value="XYCZT")
        screen = graph.add("Screen", name="S")
        plate, empty = graph.add("Plate", name="P", rows=2), graph.add("Plate", name="empty")
        for one in (plate, empty):
            graph.add("ScreenPlateLink", parent=screen, child=one)
        fileset = graph.add("Fileset", templatePrefix="user_2/x/")
        file = graph.add("OriginalFile", path="user_2/x/", name="a.tif", size=7)
        graph.add("FilesetEntry", fileset=fileset, originalFile=file, clientPath="in/a.tif")
        for row in range(2):
            for column in range(2):
                well = graph.add("Well", plate=plate, row=row, column=column)
                for site in range(2):
                    image = graph.add("Image", name=f"{row}{column}{site}", series=site, fileset=fileset)
                    graph.add("Pixels", image=image, sizeX=10 + row, pixelsType=type_, dimensionOrder=order)
                    graph.add("WellSample", well=well, image=image)
        graph.add("Image", name="alone")
        graph.add("Image", name="Alone too")
        tag = graph.add("TagAnnotation", textValue="good", ns="n")
        keys = graph.add("MapAnnotation", ns="m", mapValue=[["k", "v"], ["k2", "w"]])
        for annotation in (tag, keys):
            graph.add("PlateAnnotationLink", parent=plate, child=annotation)
    return graph


def answer(graph: Graph, query: str, **parameters: Any) -> list[list[Any]]:
    """Columns, objects as their names."""
    return [[str(one) if hasattr(one, "of") else one for one in row] for row in
            Evaluation(graph, query, parameters).columns()]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "parameters", "expected"),
    [
        ("select p.name from Plate p order by p.name", {}, [["P"], ["empty"]]),
        ("from Plate where name = 'P'", {}, [["Plate:1"]]),
        ("select p.id from Plate p where name = 'P'", {}, [[1]]),
        ("select count(*) from Well", {}, [[4]]),
        ("select count(w) from Well w where w.plate.name = 'empty'", {}, [[0]]),
        ("select max(w.row), min(w.column), sum(w.row), avg(w.row) from Well w", {}, [[1, 0, 2, 0.5]]),
        ("select w.row, count(s) from Well w join w.wellSamples s group by w.row order by w.row", {}, [[0, 4], [1, 4]]),
        ("select minindex(ws), maxindex(ws) from Well w join w.wellSamples ws", {}, [[0, 1]]),
        ("select distinct ws.well.row from WellSample ws order by ws.well.row desc", {}, [[1], [0]]),
        ("select p.id from Plate p where size(p.wells) = 0", {}, [[2]]),
        ("select p.id from Plate p where p.wells is empty", {}, [[2]]),
        ("select p.name from Plate p left outer join p.wells w where w.id is null", {}, [["empty"]]),
        ("select i.name from Image i where i.name like '_lone%' order by i.name", {}, [["Alone too"], ["alone"]]),
        ("select i.name from Image i where lower(i.name) in ('alone', 'x')", {}, [["alone"]]),
        ("select i.id from Image i where i.id in (:ids)", {"ids": [2, 3, 99]}, [[2], [3]]),
        ("select i.id from Image i where i.fileset.templatePrefix <> 'no' and i.series = 0 and i.id < 4", {},
         [[1], [3]]),
        ("select count(i) from Image i where i.fileset is null", {}, [[2]]),
        ("select l.child.name from ScreenPlateLink l where l.parent.id = 1 and l.child.rows = 2", {}, [["P"]]),
        ("select s.name from Screen s where exists (select l from ScreenPlateLink l where l.parent = s)", {}, [["S"]]),
        (
            "select i.name from Image i where i.id not in (select ws.image.id from WellSample ws) order by i.id",
            {},
            [["alone"], ["Alone too"]],
        ),
        ("select a.class from Annotation a order by a.id", {}, [["TagAnnotation"], ["MapAnnotation"]]),
        ("select a.id from Annotation a where a.class = ome.model.annotations.TagAnnotation", {}, [[1]]),
        ("select a.id from Annotation a where a.textValue = 'good'", {}, [[1]]),
        ("select a.ns from MapAnnotation a join a.mapValue kv where kv.name = 'k2' and kv.value = 'w'", {}, [["m"]]),
        ("select case when w.row = 0 then 'top' else 'low' end from Well w where w.column = 0", {}, [["top"], ["low"]]),
        ("select coalesce(p.rows, 9) + 1 from Plate p order by p.id", {}, [[3], [10]]),
        ("select (select count(w) from Well w where w.plate = p) from Plate p order by p.id", {}, [[4], [0]]),
        ("select p.name from Plate p where not (p.rows = 3)", {}, [["P"]]),
        ("select w.id from Well w where not (w.red = 1 and w.row = 0) order by w.id", {}, [[3], [4]]),
        ("select w.id from Well w where not (w.red = 1 or w.row = 5)", {}, []),
        ("select w.id from Well w where w.plate = :plate and w.row = :row", {"plate": 1, "row": 1}, [[3], [4]]),
        ("select p.name, s.name from Plate p, Screen s where p.rows is not null", {}, [["P", "S"]]),
    ],
)  # fmt: skip
def test_what_a_query_gives(graph: Graph, query: str, parameters: dict[str, Any], expected: list[list[Any]]) -> None:
    assert answer(graph, query, **parameters) == expected


def test_the_structure_of_a_plate_comes_in_one_query(graph: Graph) -> None:
    rows = answer(graph, PLATE_QUERY, pid=1)
    assert [row[:3] for row in rows] == [[r, c, s] for r in range(2) for c in range(2) for s in range(2)]
    assert rows[7][3:] == [
        None, 8, "111", 1, 8, 11, "uint16", "XYCZT", 1, "in/a.tif", 1, "user_2/x/", "a.tif", 7, None,
    ]  # fmt: skip


def test_a_path_through_a_null_leaves_the_row_out_as_an_implied_join_does(graph: Graph) -> None:
    assert len(answer(graph, "select i.id, i.fileset.templatePrefix from Image i")) == 8
    assert len(answer(graph, "select i.id, i.fileset.id from Image i")) == 10


def test_objects_of_a_join_come_as_often_as_they_are_joined_unless_distinct(graph: Graph) -> None:
    query = "select p from Plate p join fetch p.wells w"
    assert len(Evaluation(graph, query, {}).objects()[0]) == 4
    assert len(Evaluation(graph, query.replace("select", "select distinct"), {}).objects()[0]) == 1


def test_what_is_fetched_is_told_apart_from_what_is_only_joined(graph: Graph) -> None:
    evaluation = Evaluation(
        graph, "select w from Well w join fetch w.wellSamples ws join ws.image i where w.id = 1", {}
    )
    loaded, filled = evaluation.fetched(evaluation.rows())
    assert loaded == {("WellSample", 1), ("WellSample", 2)}
    assert filled == {(("Well", 1), "wellSamples")}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select x from Plate p", r"Unable to resolve path \[x\]"),
        ("select p.bogus from Plate p", "could not resolve property: bogus of: ome.model.Plate"),
        ("select p from Plate p, Screen s where name = 'P'", r"Unable to resolve path \[name\]"),
        ("select p from Bogus p", "Bogus is not mapped"),
        ("select p from Plate p where p.id = :missing", "missing"),
        ("select p.wells.row from Plate p", "dereference collection"),
        ("select p from Plate p where p.wells = 3", "collection"),
        ("select p from Plate p join p.name n", "cannot be joined"),
        ("select index(p) from Plate p", "ordered collection"),
        ("select p from Plate p, Screen p", "Duplicate definition of alias"),
        ("select p from Plate p where p.id in (:none)", "empty"),
        ("select p from Plate p where max(p.id) = 3", "max"),
        ("select p from Plate p where p.name and p.id = 1", "RString"),
        ("select p.name + 1 from Plate p", "numbers"),
        ("select p.details.bogus from Plate p", "Details"),
        ("select cast(p.name as date) from Plate p", "date"),
    ],
)
def test_what_means_nothing_is_an_error_before_the_first_row(graph: Graph, query: str, said: str) -> None:
    with pytest.raises(HqlError, match=said):
        Evaluation(graph, query, {"none": []}).columns()


@pytest.mark.parametrize(
    "query",
    [
        "select sum(w.row * 2000000000 * 2) from Well w",
        "select (w.id + 4000000000) * 4000000000 from Well w",
        "select p.rows - 2147483647 - 4 from Plate p",
    ],
)
def test_a_number_beyond_its_type_fails_the_query_as_in_postgresql(graph: Graph, query: str) -> None:
    with pytest.raises(OutOfRange):
        Evaluation(graph, query, {}).columns()
    assert answer(graph, "select sum(1.0 * w.row * 2000000000 * 2) from Well w") == [[8e9]]


def test_what_a_caller_may_not_read_is_not_there(graph: Graph) -> None:
    hidden = Evaluation(graph, "select w.id from Well w", {}, lambda row: row.id != 2)
    assert [id for (id,) in hidden.columns()] == [1, 3, 4]
    joined = Evaluation(graph, "select p.id from Plate p join p.wells w", {}, lambda row: row.of != "Well")
    assert joined.columns() == []


terms = st.sampled_from(["w.row", "w.column", "w.id", "p.rows", "0", "1", "3", "w.red"])
atoms = st.builds("{} {} {}".format, terms, st.sampled_from(["=", "<>", "<", ">="]), terms)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner), st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)  # fmt: skip


@given(conditions)
def test_a_condition_is_true_false_or_unknown_for_every_row(graph: Graph, condition: str) -> None:
    def rows(where: str) -> list[list[Any]]:
        return answer(graph, f"select p.id, w.id from Plate p left outer join p.wells w where {where}")

    true, false = rows(condition), rows(f"not ({condition})")
    everything = answer(graph, "select p.id, w.id from Plate p left outer join p.wells w")
    assert not [row for row in true if row in false]
    assert all(row in everything for row in true + false)
    unknown = [row for row in everything if row not in true and row not in false]
    assert rows(f"({condition}) or not ({condition})") == [row for row in everything if row not in unknown]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_a_lookup_by_id_gives_what_going_through_all_gives(graph: Graph, ids: list[int]) -> None:
    quick = answer(graph, "select w.id from Well w where w.plate.id in (:ids) order by w.id", ids=ids)
    slow = answer(graph, "select w.id from Well w where w.plate.id + 0 in (:ids) order by w.id", ids=ids)
    assert quick == slow
