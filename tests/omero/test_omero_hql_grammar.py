"""Reading HQL: what it says comes back as a tree, and what is not known is named."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omero_server.hql_grammar import parse
from omero_server.hql_tokens import RESERVED, HqlError
from omero_server.hql_tree import (
    Binary,
    Call,
    Exists,
    Expression,
    In,
    IsNull,
    Literal,
    Not,
    Parameter,
    Path,
    Query,
    Selected,
    Source,
)


def test_a_query_with_every_clause_is_read_whole() -> None:
    query = parse(
        "select distinct w.row as r, count(ws) from Well as w left outer join fetch w.wellSamples ws, Plate p "
        "where w.plate = p group by w.row having count(ws) > 1 order by w.row desc, p.id"
    )
    assert query.distinct
    assert query.select == (Selected(Path(("w", "row")), "r"), Selected(Call("count", (Path(("ws",)),))))
    assert query.sources == (
        Source(Path(("Well",)), "w"),
        Source(Path(("w", "wellSamples")), "ws", is_join=True, is_outer=True, is_fetched=True),
        Source(Path(("Plate",)), "p"),
    )
    assert query.where == Binary("=", Path(("w", "plate")), Path(("p",)))
    assert query.group == (Path(("w", "row")),)
    assert query.having == Binary(">", Call("count", (Path(("ws",)),)), Literal(1))
    assert [(str(one.expression), one.is_descending) for one in query.order] == [("w.row", True), ("p.id", False)]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a.x = 1 or a.y = 2 and not a.z is null", "or(=(a.x, 1), and(=(a.y, 2), not null(a.z)))"),
        ("a.x in (:ids)", "in(a.x, :ids)"),
        ("a.x in :ids", "in(a.x, :ids)"),
        ("a.x not in (1, 2)", "not in(a.x, 1, 2)"),
        ("a.x between 1 and 2 + 3 * 4", "and(>=(a.x, 1), <=(a.x, +(2, *(3, 4))))"),
        ("a.name not like 'it''s%'", "not like(a.name, it's%)"),
        ("a.x != 3", "<>(a.x, 3)"),
        ("exists (select b from B b where b.a = a)", "exists(b)"),
        ("lower(a.name) = 'x'", "=(lower(a.name), x)"),
    ],
)
def test_conditions_bind_as_in_sql(text: str, tree: str) -> None:
    where = parse(f"select a from A a where {text}").where
    assert where is not None
    assert said(where) == tree


def said(of: Expression) -> str:
    match of:
        case Literal(value):
            return str(value)
        case Parameter(name):
            return f":{name}"
        case Path():
            return str(of)
        case Not(inner):
            return f"not {said(inner)}"
        case IsNull(inner):
            return f"null({said(inner)})"
        case Binary(sign, left, right):
            return f"{sign}({said(left)}, {said(right)})"
        case In(inner, tuple() as items):
            return f"in({', '.join(map(said, (inner, *items)))})"
        case Exists(query):
            return f"exists({said(query.select[0].expression)})"
        case Call(name, arguments):
            return f"{name}({', '.join(map(said, arguments))})"
    raise AssertionError(of)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("select a from A a right join a.b b", "right"),
        ("select frob(a) from A a", "frob"),
        ("select new Thing(a) from A a", "new map"),
        ("select a from A a where a.x member of a.ys", "member of"),
        ("select a from A a where a.x like 'b' escape '!'", "escape"),
        ("select a from A a where a.x ~ 1", "'~'"),
        ("update A set x = 1", "update"),
        ("select a from A a union select b from B b", "union"),
        ("select a from A a where a.x =", "end of query"),
        ("", "end of query"),
    ],
)
def test_what_is_not_known_is_an_error_that_names_it(text: str, named: str) -> None:
    with pytest.raises(HqlError, match=named):
        parse(text)


@given(st.text(alphabet="select from where a.b(),:='1 +ors in not", max_size=60))
def test_whatever_is_written_is_a_query_or_an_error_of_hql(text: str) -> None:
    with contextlib.suppress(HqlError):
        assert isinstance(parse(text), Query)


names = st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(lambda word: word not in RESERVED)
leaves = st.one_of(
    st.builds(Literal, st.integers(0, 999)),
    st.builds(Literal, st.text("ab'% ", max_size=5)),
    st.builds(Parameter, names),
    st.builds(lambda steps: Path(tuple(steps)), st.lists(names, min_size=1, max_size=3)),
)
values = st.recursive(
    leaves, lambda inner: st.builds(Binary, st.sampled_from(["+", "-", "*", "/", "||"]), inner, inner), max_leaves=5
)
conditions = st.recursive(
    st.one_of(
        st.builds(Binary, st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "like"]), values, values),
        st.builds(IsNull, values),
        st.builds(In, values, st.lists(values, min_size=1, max_size=3).map(tuple)),
    ),
    lambda inner: st.one_of(st.builds(Not, inner), st.builds(Binary, st.sampled_from(["and", "or"]), inner, inner)),
    max_leaves=5,
)


def written(of: Expression) -> str:
    match of:
        case Literal(str() as value):
            return "'" + value.replace("'", "''") + "'"
        case Literal(value):
            return str(value)
        case Parameter(name):
            return f":{name}"
        case Path():
            return str(of)
        case Not(inner):
            return f"not ({written(inner)})"
        case IsNull(inner):
            return f"({written(inner)}) is null"
        case In(inner, tuple() as items):
            return f"({written(inner)}) in ({', '.join(map(written, items))})"
        case Binary(sign, left, right):
            return f"({written(left)}) {sign} ({written(right)})"
    raise AssertionError(of)


@given(conditions)
def test_a_condition_written_out_reads_as_itself(condition: Expression) -> None:
    assert parse(f"select a from A a where {written(condition)}").where == condition
