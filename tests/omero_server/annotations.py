"""IMetadata: annotations by kind and namespace."""

from __future__ import annotations

from typing import Any

import omero.api

from omero_server.call import Call
from omero_server.containers import fetched
from omero_server.dispatch import Servant


class Metadata(Servant):
    """What of IMetadata the gateway asks."""

    interface = omero.api.IMetadata
    proxy = omero.api.IMetadataPrx

    def loadSpecifiedAnnotations(
        self, call: Call, of: str, included: list[str], excluded: list[str], options: Any
    ) -> list[Any]:
        """All annotations of a kind, those with files with these."""
        kind = self.graph.schema.of(of).name
        files = "left outer join fetch a.file f left outer join fetch f.hasher" if kind == "FileAnnotation" else ""
        wanted: dict[str, Any] = {}
        conditions = ["a.id > 0"]
        if included:
            conditions.append("a.ns in (:included)")
            wanted["included"] = list(included)
        if excluded:
            conditions.append("(a.ns is null or a.ns not in (:excluded))")
            wanted["excluded"] = list(excluded)
        page = None if options is None else options.theFilter
        for end in ("owner", "group"):
            said = None if page is None else getattr(page, f"{end}Id")
            if said is not None:
                conditions.append(f"a.details.{end}.id = :{end}")
                wanted[end] = said.val
        return fetched(call, f"select a from {kind} a {files} where {' and '.join(conditions)}", **wanted)
