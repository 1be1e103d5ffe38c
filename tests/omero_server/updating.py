"""IUpdate: objects saved, one change per call."""

from __future__ import annotations

from typing import Any

import omero.api

from omero_server.call import Call
from omero_server.deletion import delete, remove_files
from omero_server.dispatch import Servant
from omero_server.merging import Merge
from omero_server.wire import Wire


class UpdateService(Servant):
    """Either all of what was sent is kept, or nothing of it."""

    interface = omero.api.IUpdate
    proxy = omero.api.IUpdatePrx

    def saveObject(self, call: Call, sent: Any) -> None:
        self.saveArray(call, [sent])

    def saveCollection(self, call: Call, sent: list[Any]) -> None:
        self.saveArray(call, sent)

    def saveArray(self, call: Call, sent: list[Any]) -> None:
        with self.graph.changing():
            Merge(call).all(sent)

    def saveAndReturnObject(self, call: Call, sent: Any) -> Any:
        return self.saveAndReturnArray(call, [sent])[0]

    def saveAndReturnArray(self, call: Call, sent: list[Any]) -> list[Any]:
        with self.graph.changing():
            merge = Merge(call)
            rows = merge.all(sent)
        return Wire(call, merge.loaded).roots(rows)

    def saveAndReturnIds(self, call: Call, sent: list[Any]) -> list[int]:
        with self.graph.changing():
            return [row.id for row in Merge(call).all(sent)]

    def deleteObject(self, call: Call, sent: Any) -> None:
        with self.graph.changing():
            gone = delete(call, [call.get(self.graph.schema.of(sent.ice_id()).name, sent._id.val)])
        remove_files(call, gone)
