"""Reads HQL by recursive descent; what it does not know it names (pure)."""

from __future__ import annotations

import functools
import re

from omero_server.hql_tree import (
    Binary,
    Call,
    Case,
    Exists,
    Expression,
    In,
    IsEmpty,
    IsNull,
    Literal,
    Not,
    Ordering,
    Parameter,
    Path,
    Query,
    Selected,
    Source,
    Subquery,
)

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d+|\d+)[lLdDfF]?|(?P<string>'(?:[^']|'')*')|:(?P<parameter>\w+)"
    r"|(?P<word>[A-Za-z_][\w$]*)|(?P<sign><>|!=|<=|>=|\|\||[-+*/=<>(),.]))"
)
RESERVED = frozenset(
    [
        "select",
        "distinct",
        "from",
        "as",
        "join",
        "left",
        "right",
        "inner",
        "outer",
        "full",
        "fetch",
        "where",
        "and",
        "or",
        "not",
        "in",
        "is",
        "null",
        "like",
        "escape",
        "order",
        "group",
        "by",
        "asc",
        "desc",
        "exists",
        "between",
        "having",
        "new",
        "true",
        "false",
        "with",
        "case",
        "when",
        "then",
        "else",
        "end",
        "empty",
        "member",
        "of",
        "union",
    ]
)
FUNCTIONS = frozenset(
    [
        "count",
        "sum",
        "max",
        "min",
        "avg",
        "lower",
        "upper",
        "index",
        "minindex",
        "maxindex",
        "size",
        "str",
        "cast",
        "coalesce",
        "concat",
        "type",
        "length",
        "abs",
        "nullif",
        "substring",
        "trim",
        "elements",
    ]
)
AGGREGATES = frozenset({"count", "sum", "max", "min", "avg", "minindex", "maxindex"})
COMPARISONS = ("=", "<>", "!=", "<=", ">=", "<", ">")
THIS = "this"
"""The alias of a source that was given none."""


class HqlError(Exception):
    """The query is wrong, or says something that the stand-in has not learnt."""


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


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._n_unnamed = 0

    # Tokens

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _text(self) -> str:
        return self._tokens[self._at][1]

    def _is(self, *words: str) -> bool:
        ahead = self._tokens[self._at : self._at + len(words)]
        return len(ahead) == len(words) and all(
            kind == "word" and text.lower() == word for (kind, text, _), word in zip(ahead, words, strict=True)
        )

    def _takes(self, *words: str) -> bool:
        if not self._is(*words):
            return False
        self._at += len(words)
        return True

    def _must(self, *words: str) -> None:
        if not self._takes(*words):
            self._wrong(f"expected {' '.join(words)!r}")

    def _takes_sign(self, sign: str) -> bool:
        if self._tokens[self._at][:2] != ("sign", sign):
            return False
        self._at += 1
        return True

    def _must_sign(self, sign: str) -> None:
        if not self._takes_sign(sign):
            self._wrong(f"expected {sign!r}")

    def _word(self) -> str:
        kind, text, _ = self._tokens[self._at]
        if kind != "word":
            self._wrong("expected a name")
        self._at += 1
        return text

    def _wrong(self, why: str) -> None:
        kind, text, column = self._tokens[self._at]
        found = "end of query" if kind == "end" else f"token: {text}"
        raise HqlError(f"unexpected {found} near column {column}: {why}")

    def must_be_over(self) -> None:
        if self._kind() != "end":
            self._wrong("nothing more was expected")

    # Clauses

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

    # Expressions, loosest first

    def _expression(self) -> Expression:
        left = self._conjunction()
        while self._takes("or"):
            left = Binary("or", left, self._conjunction())
        return left

    def _conjunction(self) -> Expression:
        left = self._negation()
        while self._takes("and"):
            left = Binary("and", left, self._negation())
        return left

    def _negation(self) -> Expression:
        return Not(self._negation()) if self._takes("not") else self._comparison()

    def _comparison(self) -> Expression:
        if self._takes("exists"):
            self._must_sign("(")
            query = self.query()
            self._must_sign(")")
            return Exists(query)
        left = self._sum()
        for sign in COMPARISONS:
            if self._takes_sign(sign):
                return Binary("<>" if sign == "!=" else sign, left, self._sum())
        if self._takes("is"):
            return self._is_what(left)
        is_not = self._takes("not")
        said = self._one_of_many(left)
        if said is None:
            if is_not:
                self._wrong("expected 'in', 'like' or 'between' after 'not'")
            return left
        return Not(said) if is_not else said

    def _is_what(self, left: Expression) -> Expression:
        is_not = self._takes("not")
        said: Expression
        if self._takes("empty"):
            if not isinstance(left, Path):
                self._wrong("only a collection is empty")
            assert isinstance(left, Path)
            said = IsEmpty(left)
        else:
            self._must("null")
            said = IsNull(left)
        return Not(said) if is_not else said

    def _one_of_many(self, left: Expression) -> Expression | None:
        if self._takes("in"):
            return self._in(left)
        if self._takes("like"):
            said = Binary("like", left, self._sum())
            if self._is("escape"):
                self._wrong("'escape' is not known")
            return said
        if self._takes("between"):
            low = self._sum()
            self._must("and")
            return Binary("and", Binary(">=", left, low), Binary("<=", left, self._sum()))
        if self._is("member"):
            self._wrong("'member of' is not known")
        return None

    def _in(self, left: Expression) -> Expression:
        if not self._takes_sign("("):
            return In(left, (self._sum(),))
        if self._is("select") or self._is("from"):
            items: tuple[Expression, ...] | Query = self.query()
        else:
            items = tuple(self._expressions())
        self._must_sign(")")
        return In(left, items)

    def _sum(self) -> Expression:
        left = self._product()
        while True:
            for sign in ("+", "-", "||"):
                if self._takes_sign(sign):
                    left = Binary(sign, left, self._product())
                    break
            else:
                return left

    def _product(self) -> Expression:
        left = self._atom()
        while True:
            for sign in ("*", "/"):
                if self._takes_sign(sign):
                    left = Binary(sign, left, self._atom())
                    break
            else:
                return left

    def _atom(self) -> Expression:
        kind, text, _ = self._tokens[self._at]
        if kind in {"number", "string", "parameter"}:
            self._at += 1
            if kind == "parameter":
                return Parameter(text)
            return Literal(text[1:-1].replace("''", "'") if kind == "string" else _number(text))
        if self._takes_sign("-"):
            return Binary("-", Literal(0), self._atom())
        if self._takes_sign("("):
            return self._parenthesis()
        if kind != "word":
            self._wrong("expected an expression")
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self._takes(word):
                return Literal(value)
        if self._takes("case"):
            return self._case()
        if self._tokens[self._at + 1][:2] == ("sign", "("):
            return self._call()
        if text.lower() in RESERVED:
            self._wrong("expected an expression")
        return self._path()

    def _parenthesis(self) -> Expression:
        if self._is("select") or self._is("from"):
            inner: Expression = Subquery(self.query())
        else:
            inner = self._expression()
        self._must_sign(")")
        return inner

    def _case(self) -> Expression:
        whens = []
        while self._takes("when"):
            condition = self._expression()
            self._must("then")
            whens.append((condition, self._expression()))
        if not whens:
            self._wrong("only 'case when' is known")
        otherwise = self._expression() if self._takes("else") else Literal(None)
        self._must("end")
        return Case(tuple(whens), otherwise)

    def _call(self) -> Expression:
        name = self._text().lower()
        if name not in FUNCTIONS:
            self._wrong("no such function is known")
        self._at += 1
        self._must_sign("(")
        distinct = self._takes("distinct")
        arguments: list[Expression] = []
        if name == "count" and self._takes_sign("*"):
            pass
        elif name == "cast":
            arguments = [self._expression()]
            self._must("as")
            arguments.append(Literal(self._word().lower()))
        else:
            arguments = self._expressions()
        self._must_sign(")")
        return Call(name, tuple(arguments), distinct)

    def _path(self) -> Path:
        steps = [self._word()]
        while self._takes_sign("."):
            steps.append(self._word())
        return Path(tuple(steps))


def _tokens(text: str) -> list[tuple[str, str, int]]:
    tokens = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise HqlError(f"unexpected char: {text[at:].lstrip()[:1]!r} near column {at + 1}")
        tokens.append((found.lastgroup, found[found.lastgroup], found.start(found.lastgroup) + 1))
        at = found.end()
    return [*tokens, ("end", "", len(text) + 1)]


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)
