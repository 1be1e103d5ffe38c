"""Every query that omero-py writes out whole is one that the stand-in understands."""

import ast
import importlib.util
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from omero_server.graph import Graph
from omero_server.hql_evaluation import Evaluation
from omero_server.hql_tokens import HqlError
from omero_server.schema import schema

QUERY = re.compile(r"\s*(?:select\s.*\sfrom\s|from\s+[A-Z]\w+\s)", re.DOTALL | re.IGNORECASE)
OPEN = re.compile(r"%[sdi(]|\{|=\s*'?\s*$|,\s*$|where\s*$")
"""A text that the code goes on to fill in is half a query."""


class EveryParameter(dict[str, object]):
    """Whatever a query asks for is bound, to nothing."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> None:
        return None


def text(node: ast.AST) -> str | None:
    """What a constant, or a sum of constants, says."""
    match node:
        case ast.Constant(str() as said):
            return said
        case ast.BinOp(left, ast.Add(), right):
            first, second = text(left), text(right)
            return None if first is None or second is None else first + second
    return None


def whole_queries(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how others write their texts
            tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            said = text(node)
            if said and QUERY.match(said) and not OPEN.search(said):
                yield said


def test_queries_of_the_gateway_and_of_the_command_line_mean_something() -> None:
    found = importlib.util.find_spec("omero")
    assert found is not None
    assert found.origin is not None
    queries = sorted(set(whole_queries(Path(found.origin).parent)))
    assert len(queries) > 50
    graph, wrong = Graph(schema()), []
    for query in queries:
        try:
            Evaluation(graph, query, EveryParameter()).columns()
        except HqlError as unknown:
            wrong.append(f"{unknown}: {' '.join(query.split())}")
    assert not wrong, "\n".join(wrong)
