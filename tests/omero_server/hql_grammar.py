"""Reads HQL by recursive descent; what it does not know it names (pure)."""

from __future__ import annotations

import functools

from omero_server.hql_expressions import Expressions
from omero_server.hql_tokens import RESERVED
from omero_server.hql_tree import Expression, Ordering, Query, Selected, Source

THIS = "this"
"""The alias of a source that was given none."""


@functools.lru_cache(maxsize=1000)
def parse(text: str) -> Query:
    """The query's tree.

    Raises:
        HqlError: it is no query, or one that the stand-in has not learnt to read.
    """
    reader = _Reader(text)
    query = reader.query()
    reader.must_be_over()
    return query


class _Reader(Expressions):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._n_unnamed = 0

    def query(self) -> Query:
        distinct = as_map = False
        select: list[Selected] = []
        if self._takes("select"):
            distinct = self._takes("distinct")
            as_map = self._takes("new")
            select = self._map() if as_map else self._selected()
        self._must("from")
        sources = self._sources()
        where = self._expression() if self._takes("where") else None
        group = self._expressions() if self._takes("group", "by") else []
        having = self._expression() if self._takes("having") else None
        order = self._orderings() if self._takes("order", "by") else []
        return Query(
            tuple(select), tuple(sources), where, tuple(group), having, tuple(order), distinct=distinct, as_map=as_map
        )

    def _map(self) -> list[Selected]:
        if not self._takes("map"):
            self._wrong("of 'select new' only 'new map' is known")
        self._must_sign("(")
        select = self._selected()
        self._must_sign(")")
        return select

    def _selected(self) -> list[Selected]:
        select = []
        while True:
            expression = self._expression()
            select.append(Selected(expression, self._word() if self._takes("as") else None))
            if not self._takes_sign(","):
                return select

    def _sources(self) -> list[Source]:
        sources = []
        while True:
            sources.append(Source(self._path(), self._alias() or THIS))
            while join := self._join():
                sources.append(join)
            if not self._takes_sign(","):
                return sources

    def _join(self) -> Source | None:
        if self._is("right") or self._is("full"):
            self._wrong("right and full joins are not known")
        is_outer = self._takes("left")
        if is_outer:
            self._takes("outer")
        elif not self._takes("inner") and not self._is("join"):
            return None
        self._must("join")
        is_fetched = self._takes("fetch")
        path = self._path()
        self._n_unnamed += 1
        alias = self._alias() or f"unnamed {self._n_unnamed}"
        condition = self._expression() if self._takes("with") else None
        return Source(path, alias, is_join=True, is_outer=is_outer, is_fetched=is_fetched, condition=condition)

    def _alias(self) -> str | None:
        if self._takes("as") or (self._kind() == "word" and self._text().lower() not in RESERVED):
            return self._word()
        return None

    def _orderings(self) -> list[Ordering]:
        orderings = []
        while True:
            expression = self._expression()
            is_descending = self._takes("desc")
            if not is_descending:
                self._takes("asc")
            orderings.append(Ordering(expression, is_descending))
            if not self._takes_sign(","):
                return orderings

    def _expressions(self) -> list[Expression]:
        expressions = [self._expression()]
        while self._takes_sign(","):
            expressions.append(self._expression())
        return expressions
