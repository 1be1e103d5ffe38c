"""Requests about parts of the graph: deleted, moved to another group, given to another user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import omero.cmd

from omero_server import handles
from omero_server.call import Call
from omero_server.deletion import Choice, delete, remove_files, whole
from omero_server.graph import Row
from omero_server.refusals import Denied, NotKnown

Response = Any


def submit(call: Call, request: Any) -> Any:
    """A handle on the work that the request asks for; what is not known is refused there, as on a server."""
    parts = request.requests if isinstance(request, omero.cmd.DoAll) else [request]

    def all_of_them(handle: handles.Handle) -> Response:
        works = [_work(call, part) for part in parts]
        with call.server.lock, call.graph.changing():
            responses = [work() for work, _ in works]
        for _, after in works:
            after()
        return omero.cmd.DoAllRsp(responses, []) if isinstance(request, omero.cmd.DoAll) else responses[0]

    return handles.start(call, request, all_of_them, len(parts))


def _work(call: Call, request: Any) -> tuple[Callable[[], Response], Callable[[], None]]:
    below: list[str] | None = None
    targets, dry = request, getattr(request, "dryRun", False)
    if isinstance(request, omero.cmd.SkipHead):
        below, request = request.startFrom, request.request
    kinds = {omero.cmd.Delete2: _delete, omero.cmd.Chgrp2: _chgrp, omero.cmd.Chown2: _chown}
    do = kinds.get(type(request))
    if do is None:
        raise NotKnown(f"the request {type(request).ice_staticId()} is not implemented")
    gone: list[Row] = []

    def work() -> Response:
        roots = _targets(call, targets.targetObjects or {})
        if below is not None:
            kinds_below = {call.graph.schema.of(name).name for name in below}
            found = whole(call.graph, roots, Choice())
            roots = [row for row in found if kinds_below & set(call.graph.schema.lineage(row.of))]
        return do(call, request, roots, _choice(targets), gone, dry or request.dryRun)

    return work, lambda: remove_files(call, gone)


def _delete(call: Call, request: Any, roots: list[Row], choice: Choice, gone: list[Row], dry: bool) -> Response:
    if dry:
        return omero.cmd.Delete2Response(_named(call, whole(call.graph, roots, choice)))
    went = delete(call, roots, choice)
    gone += went
    return omero.cmd.Delete2Response(_named(call, went))


def _chgrp(call: Call, request: Any, roots: list[Row], choice: Choice, gone: list[Row], dry: bool) -> Response:
    group = call.server.people.group(request.groupId)
    if group.id not in call.caller.member_of and not call.caller.may("Chgrp"):
        raise Denied(f"User {call.user['omeName']} is not a member of group {group['name']}")
    moving = whole(call.graph, roots, choice)
    for row in moving:
        if row.group is not None:
            call.may("chgrp", row)
    torn = [row for row in moving if call.graph.schema.of(row.of).is_link and not _is_inside(row, moving)]
    staying = [row for row in moving if row not in torn]
    if not dry:
        for row in staying:
            call.graph.describe(row, group=group)
        for row in torn:
            call.graph.remove(row)
    return omero.cmd.Chgrp2Response(_named(call, staying), _named(call, torn))


def _chown(call: Call, request: Any, roots: list[Row], choice: Choice, gone: list[Row], dry: bool) -> Response:
    if request.targetUsers:
        raise NotKnown("Chown2 of all that users have")
    user = call.server.people.user(request.userId)
    given = whole(call.graph, roots, choice)
    for row in given:
        if row.owner is not None:
            call.may("chown", row)
    if not dry:
        for row in given:
            if row.owner is not None:
                call.graph.describe(row, owner=user)
    return omero.cmd.Chown2Response(_named(call, given), {})


def _is_inside(link: Row, moving: dict[Row, None]) -> bool:
    return link["parent"] in moving and link["child"] in moving


def _targets(call: Call, targets: dict[str, list[int]]) -> list[Row]:
    return [call.get(call.graph.schema.of(of).name, id) for of, ids in targets.items() for id in ids]


def _choice(request: Any) -> Choice:
    included: set[str] = set()
    excluded: set[str] = set()
    for option in request.childOptions or []:
        if option.includeNs or option.excludeNs:
            raise NotKnown("a choice by namespace")
        included |= set(option.includeType or [])
        excluded |= set(option.excludeType or [])
    return Choice(frozenset(included), frozenset(excluded))


def _named(call: Call, rows: Any) -> dict[str, list[int]]:
    """Ids by the class's whole name, as the server answers."""
    named: dict[str, list[int]] = {}
    for row in rows:
        named.setdefault(call.graph.schema.of(row.of).full_name, []).append(row.id)
    return {name: sorted(ids) for name, ids in named.items()}
