"""IQuery: objects and columns by HQL, by id and by the value of a field."""

from __future__ import annotations

from typing import Any

import omero
import omero.api
from omero.rtypes import rbool, rmap, rstring

from omero_server.call import Call
from omero_server.dispatch import Servant
from omero_server.graph import Row
from omero_server.hql_evaluation import Evaluation
from omero_server.hql_types import Type
from omero_server.refusals import BadUse, NotKnown
from omero_server.wire import Loaded, Wire, as_rtype

RIGHTS = ("Link", "Edit", "Delete", "Annotate", "Chgrp", "Chown")


class QueryService(Servant):
    """Every query is counted, and runs over what the caller may read."""

    interface = omero.api.IQuery
    proxy = omero.api.IQueryPrx

    def get(self, call: Call, of: str, id: int) -> Any:
        return Wire(call).root(call.get(self._class(of), id))

    def find(self, call: Call, of: str, id: int) -> Any:
        return Wire(call).root(call.find(self._class(of), id))

    def refresh(self, call: Call, sent: Any) -> Any:
        return self.get(call, sent.ice_id(), sent._id.val)

    def findAll(self, call: Call, of: str, page: Any) -> list[Any]:
        rows = [row for row in self.graph.all(self._class(of)) if call.may_read(row)]
        return Wire(call).roots(_page(rows, page))

    def findByString(self, call: Call, of: str, name: str, value: str) -> Any:
        return _only(self.findAllByString(call, of, name, value, True, None))

    def findAllByString(self, call: Call, of: str, name: str, value: str, case_matters: bool, page: Any) -> list[Any]:
        field = self.graph.schema.fields(self._class(of)).get(name)
        if field is None or field.type != "RString":
            raise BadUse(f"{of} has no text {name}")
        wanted = value if case_matters else value.lower()
        rows = [
            row
            for row in self.graph.all(self._class(of))
            if call.may_read(row) and (row[name] if case_matters else (row[name] or "").lower()) == wanted
        ]
        return Wire(call).roots(_page(rows, page))

    def findByQuery(self, call: Call, query: str, parameters: Any) -> Any:
        found = self.findAllByQuery(call, query, parameters)
        return _only(list({one._id.val: one for one in found}.values()))

    def findAllByQuery(self, call: Call, query: str, parameters: Any) -> list[Any]:
        self.server.door.asked(query)
        evaluation = evaluated(call, query, parameters)
        rows, came_from = evaluation.objects()
        page = None if parameters is None else parameters.theFilter
        if page is not None and page.limit is not None:
            rows = list(dict.fromkeys(rows))  # as with Hibernate: a page counts objects, not their joins
        return Wire(call, Loaded(*evaluation.fetched(came_from))).roots(_page(rows, page))

    def projection(self, call: Call, query: str, parameters: Any) -> list[list[Any]]:
        self.server.door.asked(query)
        evaluation = evaluated(call, query, parameters)
        columns = evaluation.columns()
        columns = _page(columns, None if parameters is None else parameters.theFilter)
        loaded = Loaded(*evaluation.fetched(evaluation.rows()) if evaluation.fetches else ())
        objects = Wire(call, loaded)
        loaded.rows.update(self.graph.key(one) for row in columns for one in row if isinstance(one, Row))
        types = evaluation.types()
        if evaluation.query.as_map:
            return [[_map(call, objects, evaluation.names, types, row)] for row in columns]
        return [[_column(call, objects, kind, one) for kind, one in zip(types, row, strict=True)] for row in columns]

    def _class(self, of: str) -> str:
        return self.graph.schema.of(of).name


def evaluated(call: Call, query: str, parameters: Any) -> Evaluation:
    """The query of a caller, with the parameters that came along."""
    sent = {} if parameters is None or parameters.map is None else parameters.map
    return Evaluation(call.graph, query, {name: unwrapped(value) for name, value in sent.items()}, call.may_read)


def unwrapped(value: Any) -> Any:
    """A parameter as a plain value; an object as its id.

    Raises:
        NotKnown: it is of a type that means nothing in a query.
    """
    if value is None:
        return None
    if isinstance(value, omero.RObject):
        return value.val._id.val
    if isinstance(value, (omero.RCollection,)):
        return [unwrapped(one) for one in value.val]
    if isinstance(value, omero.RType) and hasattr(value, "val"):
        return value.val
    raise NotKnown(f"a parameter of type {type(value).__name__}")


def _column(call: Call, objects: Wire, kind: Type, value: Any) -> Any:
    if kind.name == "permissions":
        return _permissions(call, value)
    return as_rtype(value, kind.name if kind.kind == "value" else None, objects)


def _map(call: Call, objects: Wire, names: list[str], types: list[Type], row: list[Any]) -> Any:
    made = {}
    for name, kind, value in zip(names, types, row, strict=True):
        about = name.endswith("_details_permissions") and isinstance(value, Row)
        made[name] = _permissions(call, value) if about else _column(call, objects, kind, value)
    return rmap(made)


def _permissions(call: Call, row: Row) -> Any:
    """As QueryImpl puts an object's permissions into a projection."""
    refused = call.rights(row).restrictions
    owned = call.owned(row)
    said = {f"can{name}": rbool(not no) for name, no in zip(RIGHTS, refused, strict=True)}
    return rmap({**said, "perm": rstring(owned.permissions if owned else "rwrwrw")})


def _page(rows: list[Any], page: Any) -> list[Any]:
    if page is None:
        return rows
    first = page.offset.val if page.offset is not None else 0
    return rows[first : first + page.limit.val] if page.limit is not None else rows[first:]


def _only(found: list[Any]) -> Any:
    if len(found) > 1:
        raise BadUse(f"Query returned more than one result: {len(found)}")
    return found[0] if found else None
