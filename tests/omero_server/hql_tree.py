"""What a query says, as a tree (pure)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Literal:
    value: str | int | float | bool | None


@dataclass(frozen=True)
class Parameter:
    name: str


@dataclass(frozen=True)
class Path:
    """``well.plate.id``: an alias and steps from it, or a name of a class."""

    steps: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.steps)


@dataclass(frozen=True)
class Call:
    """A function of HQL; ``count(*)`` has no arguments."""

    name: str
    arguments: tuple[Expression, ...]
    distinct: bool = False


@dataclass(frozen=True)
class Binary:
    """Arithmetic, concatenation, comparison, ``and``, ``or``, ``like``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Not:
    of: Expression


@dataclass(frozen=True)
class IsNull:
    of: Expression


@dataclass(frozen=True)
class IsEmpty:
    of: Path


@dataclass(frozen=True)
class In:
    """One of the items, which may be a query or parameters that are lists."""

    of: Expression
    items: tuple[Expression, ...] | Query


@dataclass(frozen=True)
class Exists:
    query: Query


@dataclass(frozen=True)
class Subquery:
    query: Query


@dataclass(frozen=True)
class Case:
    whens: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression


Expression = Literal | Parameter | Path | Call | Binary | Not | IsNull | IsEmpty | In | Exists | Subquery | Case


@dataclass(frozen=True)
class Selected:
    """One column of the answer."""

    expression: Expression
    name: str | None = None


@dataclass(frozen=True)
class Source:
    """A class whose objects are gone through, or a join from an alias."""

    path: Path
    alias: str
    is_join: bool = False
    is_outer: bool = False
    is_fetched: bool = False
    condition: Expression | None = None


@dataclass(frozen=True)
class Ordering:
    expression: Expression
    is_descending: bool = False


@dataclass(frozen=True)
class Query:
    select: tuple[Selected, ...]
    sources: tuple[Source, ...]
    where: Expression | None = None
    group: tuple[Expression, ...] = ()
    having: Expression | None = None
    order: tuple[Ordering, ...] = ()
    distinct: bool = False
    as_map: bool = False


def parts(of: Expression | None) -> list[Expression]:
    """What an expression is made of, one level down; queries inside stay closed."""
    match of:
        case Call():
            return list(of.arguments)
        case Binary():
            return [of.left, of.right]
        case Not() | IsNull() | IsEmpty():
            return [of.of]
        case In(items=tuple() as items):
            return [of.of, *items]
        case In():
            return [of.of]
        case Case():
            return [part for when in of.whens for part in when] + [of.otherwise]
    return []


def conjuncts(of: Expression | None) -> list[Expression]:
    """The conditions that must all hold."""
    if of is None:
        return []
    if isinstance(of, Binary) and of.operator == "and":
        return conjuncts(of.left) + conjuncts(of.right)
    return [of]
