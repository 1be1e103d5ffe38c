"""Where plates belong and what is said of them: everything about one plate in one save, and so once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ..labels import COMMENT, Target
from .annotation_texts import pair_of
from .connection import Connection
from .filed_imports import MARK, NAMESPACE
from .plate_metadata import METADATA, Pairs
from .result_keys import LONGEST

KEY_VALUES = "openmicroscopy.org/omero/client/mapAnnotation"
"""The namespace of key-values that OMERO's clients show as such and let people edit."""

_LABELLED = """
select link.parent.id from {kind}AnnotationLink link, MapAnnotation a join a.mapValue kv
where a.id = link.child.id and link.parent.id in (:ids) and a.ns = :ns and kv.name = :name and kv.value = :value
 and a.details.owner.id = :owner
"""
_ATTACHED = """
select a.id from PlateAnnotationLink link, MapAnnotation a join a.mapValue kv
where a.id = link.child.id and link.parent.id = :id and a.ns = :ns and kv.name = :name and kv.value = :value
 and a.details.owner.id = :owner
"""
_NAMED = """
select one.id from {kind} one where one.name = :name and one.details.owner.id = :owner
 and one.details.group.id = :gid order by one.id
"""
_TAGS = """
select tag.id from TagAnnotation tag where tag.textValue = :name and tag.ns is null
 and tag.details.owner.id = :owner and tag.details.group.id = :gid order by tag.id
"""
_IN_PROJECT = """
select link.child.id from ProjectDatasetLink link where link.parent.id = :project and link.child.name = :name
 and link.child.details.owner.id = :owner order by link.child.id
"""
# Of two imports that both want a new screen, one makes it.
_making = threading.Lock()


class Labelling:
    """Attaches to plates and images what an import's order says of them, in the name of its owner."""

    def __init__(self, connection: Connection, *, group_id: int, context: Mapping[str, str]) -> None:
        """Label in one group; ``context`` tells the server which."""
        self._connection = connection
        self._model = connection.library.omero.model
        self._rstring = connection.library.rtypes.rstring
        self._group_id = group_id
        self._context = dict(context)
        self._owner = int(connection.event_context().userId)

    def label(
        self,
        *,
        key: str,
        plates: Mapping[int, str],
        images: Sequence[int],
        target: Target,
        provenance: Sequence[tuple[str, str]],
        metadata: Mapping[int, Pairs],
    ) -> None:
        """Have plates, and images that lie on none, say where they belong; those that do already are left alone.

        ``plates`` are given with the names they are to have, empty where OMERO's own stays; ``metadata`` is what was
        read of each. A screen takes plates, a dataset images, each made where the owner has none of that name.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        wanted = {"Plate": set(plates), "Image": set(images)}
        for kind, ids in wanted.items():
            done = self._labelled(kind, sorted(ids), key)
            for number in sorted(ids - done):
                container = self._container(kind, target)
                said = [*self._said(target), self._pairs(NAMESPACE, [(MARK, key), *provenance])]
                if kind == "Plate":
                    said += self._read_of(metadata.get(number, ()))
                name = plates.get(number, "") if kind == "Plate" else ""
                self._save(kind, number, name, container, target.description, said)

    def attach(self, plate_id: int, *, namespace: str, name: str, value: str) -> int:
        """Have a plate bear a key and its value, once; the id of the annotation.

        Raises:
            OmeroError: the server refuses or cannot be reached.
        """
        rows = self._connection.rows(_ATTACHED, id=plate_id, ns=namespace, name=name, value=value, owner=self._owner)
        if rows:
            return int(rows[0][0])
        link = self._link("PlateAnnotationLink", ("Plate", plate_id), self._pairs(namespace, [(name, value)]))
        with self._connection.calling():
            saved = self._update().saveAndReturnObject(link, self._context)
        return int(saved.getChild().getId().getValue())

    def _labelled(self, kind: str, ids: list[int], key: str) -> set[int]:
        if not ids:
            return set()
        rows = self._connection.rows(
            _LABELLED.format(kind=kind), ids=ids, ns=NAMESPACE, name=MARK, value=key, owner=self._owner
        )
        return {row[0] for row in rows}

    def _save(
        self,
        kind: str,
        number: int,
        name: str,
        container: tuple[str, int] | None,
        description: str,
        said: Sequence[Any],
    ) -> None:
        """One save for all of it: the mark that tells that it was done comes with the rest, or nothing does."""
        with self._connection.calling():
            objects = [self._described(kind, number, name, description)] if name or description else []
            objects += [self._link(f"{kind}AnnotationLink", (kind, number), one) for one in said]
            if container is not None:
                objects.append(self._link(f"{container[0]}{kind}Link", container, self._unloaded(kind, number)))
            self._update().saveArray(objects, self._context)

    def _described(self, kind: str, number: int, name: str, description: str) -> Any:
        found = self._connection.service("QueryService").get(kind, number, {"omero.group": "-1"})
        if name:
            found.setName(self._rstring(name))
        if description:
            found.setDescription(self._rstring(description))
        return found

    def _said(self, target: Target) -> list[Any]:
        said = [self._unloaded("TagAnnotation", self._tag(tag)) for tag in dict.fromkeys(target.tags)]
        if target.key_values:
            said.append(self._pairs(KEY_VALUES, target.key_values))
        if target.comment:
            comment = self._model.CommentAnnotationI()
            comment.setNs(self._rstring(COMMENT))
            comment.setTextValue(self._rstring(target.comment))
            said.append(comment)
        return said

    def _read_of(self, metadata: Pairs) -> list[Any]:
        """One annotation for all that was read, and one more for each value that only a description can hold."""
        short = [pair for pair in metadata if len(pair[1]) <= LONGEST]
        made = [self._pairs(METADATA, short)] if short else []
        for name, value in metadata:
            if len(value) > LONGEST:
                pair, description = pair_of(name, value, longest=LONGEST)
                made.append(self._pairs(METADATA, [pair]))
                made[-1].setDescription(self._rstring(description))
        return made

    def _pairs(self, namespace: str, pairs: Sequence[tuple[str, str]]) -> Any:
        annotation = self._model.MapAnnotationI()
        annotation.setNs(self._rstring(namespace))
        annotation.setMapValue([self._model.NamedValue(name, value) for name, value in pairs])
        return annotation

    def _container(self, kind: str, target: Target) -> tuple[str, int] | None:
        if kind == "Plate":
            return ("Screen", self._made("Screen", target.screen)) if target.screen else None
        if not target.dataset:
            return None
        return "Dataset", self._dataset(target)

    def _dataset(self, target: Target) -> int:
        if not target.project:
            return self._made("Dataset", target.dataset)
        project = self._made("Project", target.project)
        with _making:
            rows = self._connection.rows(_IN_PROJECT, project=project, name=target.dataset, owner=self._owner)
            if rows:
                return int(rows[0][0])
            # Both at once, so that a dataset outside of the project is never left behind.
            link = self._link("ProjectDatasetLink", ("Project", project), self._new("Dataset", target.dataset))
            with self._connection.calling():
                saved = self._update().saveAndReturnObject(link, self._context)
            return int(saved.getChild().getId().getValue())

    def _made(self, kind: str, name: str) -> int:
        with _making:
            rows = self._connection.rows(_NAMED.format(kind=kind), name=name, owner=self._owner, gid=self._group_id)
            return int(rows[0][0]) if rows else self._saved(self._new(kind, name))

    def _tag(self, text: str) -> int:
        with _making:
            rows = self._connection.rows(_TAGS, name=text, owner=self._owner, gid=self._group_id)
            if rows:
                return int(rows[0][0])
            tag = self._model.TagAnnotationI()
            tag.setTextValue(self._rstring(text))
            return self._saved(tag)

    def _new(self, kind: str, name: str) -> Any:
        made = getattr(self._model, f"{kind}I")()
        made.setName(self._rstring(name))
        return made

    def _saved(self, made: Any) -> int:
        with self._connection.calling():
            return int(self._update().saveAndReturnObject(made, self._context).getId().getValue())

    def _link(self, kind: str, parent: tuple[str, int], child: Any) -> Any:
        link = getattr(self._model, f"{kind}I")()
        link.setParent(self._unloaded(*parent))
        link.setChild(child)
        return link

    def _unloaded(self, kind: str, number: int) -> Any:
        return getattr(self._model, f"{kind}I")(number, False)  # noqa: FBT003 - as OMERO has it

    def _update(self) -> Any:
        return self._connection.service("UpdateService")
