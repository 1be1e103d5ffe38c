"""Reads the expressions of HQL, loosest first (pure)."""

from __future__ import annotations

from omero_server.hql_tokens import RESERVED, Tokens
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
    Parameter,
    Path,
    Query,
    Subquery,
)

FUNCTIONS = frozenset({
    "count", "sum", "max", "min", "avg", "lower", "upper", "index", "minindex", "maxindex", "size", "str",
    "cast", "coalesce", "concat", "type", "length", "abs", "nullif", "substring", "trim", "elements",
})  # fmt: skip
COMPARISONS = ("=", "<>", "!=", "<=", ">=", "<", ">")


class Expressions(Tokens):
    """Everything that can stand in a clause; a query in parentheses is for whoever knows the clauses."""

    def query(self) -> Query:
        raise NotImplementedError

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


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)
