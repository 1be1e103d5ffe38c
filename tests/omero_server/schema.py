"""The classes of OMERO's model with their fields, read off the modules that omero-py was generated with."""

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

VALUES = {"RString": str, "RInt": int, "RLong": int, "RDouble": float, "RFloat": float, "RBool": bool, "RTime": int}
ROOT = "IObject"

_SEQUENCE = re.compile(r"defineSequence\('::omero::model::(\w+)', \(\), _M_omero\.model\._t_(\w+)\)")
_CLASS = re.compile(
    r"defineClass\('::omero::model::(\w+)', \w+, -?\d+, \(\), (\w+), \w+, "
    r"(?:_M_omero\.model\._t_(\w+)|None), \(\), \((.*?)\n\n",
    re.DOTALL,
)
_MEMBER = re.compile(r"\('_?(\w+)', \(\), [\w.]*_t_(\w+), ")
_INFO = re.compile(r"^          (\w+)=_field_info_data\(wrapper=[\w.]+, nullable=(True|False)\)", re.MULTILINE)
_ADDED = re.compile(r"self\._(\w+)Seq\.append\( target \);\n          target\.set(\w+)\( self \)")
_FULL_NAME = re.compile(r'"(ome\.model\.[\w.]+)_details"')
_AT = re.compile(r"return self\._(\w+)Seq\[index\]")


class UnknownName(LookupError):
    """The model has no such class, or the class no such field."""


@dataclass(frozen=True)
class Field:
    """One field of a class: a value, a reference, a collection, or a plain structure that travels whole."""

    name: str
    kind: str
    type: str
    """An rtype, or the class at the other end, or the structure's name."""
    nullable: bool = True
    inverse: str | None = None
    """Of a collection: the field of its elements that points back."""
    ordered: bool = False


@dataclass(frozen=True)
class Class:
    """What one class says itself; its base says the rest."""

    name: str
    base: str | None
    abstract: bool
    fields: tuple[Field, ...]
    is_global: bool
    is_mutable: bool
    is_link: bool
    full_name: str = ""
    """As the server has it: ``ome.model.core.Image``."""


class Schema:
    """All classes by name."""

    def __init__(self, classes: dict[str, Class]) -> None:
        self.classes = classes
        self._fields: dict[str, dict[str, Field]] = {}
        self._below: dict[str, frozenset[str]] = {}
        self._ordered: set[tuple[str, str | None]] | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.classes

    def of(self, name: str) -> Class:
        """The class of that name, as HQL writes it (``Image``, ``ome.model.core.Image``) or the wire (``ImageI``).

        Raises:
            UnknownName: there is none.
        """
        short = name.rsplit(".", 1)[-1].rsplit("::", 1)[-1]
        for one in (short, short.removesuffix("I")):
            if one in self.classes:
                return self.classes[one]
        raise UnknownName(f"{short} is not mapped")

    def lineage(self, name: str) -> list[str]:
        """The class and its bases, itself first."""
        line = [name]
        while base := self.classes[line[-1]].base:
            line.append(base)
        return line

    def table(self, name: str) -> str:
        """The class whose ids it shares: Annotation for a TagAnnotation."""
        line = self.lineage(name)
        return line[-2] if len(line) > 1 else line[0]

    def fields(self, name: str) -> dict[str, Field]:
        """Its fields and those of its bases."""
        if name not in self._fields:
            own = self.classes[name]
            known = dict(self.fields(own.base)) if own.base else {}
            self._fields[name] = known | {field.name: field for field in own.fields}
        return self._fields[name]

    def field(self, name: str, field: str) -> Field | None:
        """A field of the class, or, as Hibernate does, of one of those beneath it."""
        if found := self.fields(name).get(field):
            return found
        for one in sorted(self.below(name)):
            if found := self.fields(one).get(field):
                return found
        return None

    def is_ordered(self, name: str, reference: str) -> bool:
        """Whether objects of the class stand in order at what this reference of theirs points to."""
        if self._ordered is None:
            fields = [field for one in self.classes.values() for field in one.fields if field.ordered]
            self._ordered = {(self.table(field.type), field.inverse) for field in fields}
        return (self.table(name), reference) in self._ordered

    def below(self, name: str) -> frozenset[str]:
        """The class and everything that descends from it."""
        if name not in self._below:
            self._below[name] = frozenset(one for one in self.classes if name in self.lineage(one))
        return self._below[name]

    def is_a(self, name: str, base: str) -> bool:
        return name in self.below(base)


@functools.cache
def schema() -> Schema:
    """OMERO's own model, as the installed omero-py has it."""
    found = importlib.util.find_spec("omero_model_IObject_ice")
    assert found is not None, "omero-py is not installed"
    assert found.origin is not None
    return read_schema(Path(found.origin).parent)


def read_schema(folder: Path) -> Schema:
    """The classes that the generated modules in a folder declare."""
    slices = {path: path.read_text(encoding="utf-8") for path in sorted(folder.glob("omero_model_*_ice.py"))}
    sequences = {name: of for text in slices.values() for name, of in _SEQUENCE.findall(text)}
    declared = {m[1]: m for text in slices.values() for m in _CLASS.finditer(text)}
    bases = {name: m[3] for name, m in declared.items()}
    objects = {name for name in declared if _descends(name, bases)}
    classes = {}
    for name in objects:
        written = folder / f"omero_model_{name}I.py"
        python = written.read_text(encoding="utf-8") if written.exists() else ""
        classes[name] = _class(declared[name], python, sequences, objects)
    return Schema(classes)


def _descends(name: str | None, bases: dict[str, str | None]) -> bool:
    while name is not None and name != ROOT:
        name = bases.get(name)
    return name == ROOT


def _class(declared: re.Match[str], python: str, sequences: dict[str, str], objects: set[str]) -> Class:
    nullable = {name: said == "True" for name, said in _INFO.findall(python)}
    inverse = {name: said[0].lower() + said[1:] for name, said in _ADDED.findall(python)}
    ordered = set(_AT.findall(python))
    fields = []
    for name, kind in _MEMBER.findall(declared[4]):
        if name in {"id", "details", "loaded"} or name.endswith(("Loaded", "CountPerOwner")):
            continue
        if name.endswith("Seq") and sequences.get(kind) in objects:
            plural = name.removesuffix("Seq")
            # The abstract classes' Python says nothing of what it would add.
            back = inverse.get(plural) or ("parent" if sequences[kind].endswith("Link") else None)
            fields.append(Field(plural, "collection", sequences[kind], inverse=back, ordered=plural in ordered))
        elif kind in objects:
            fields.append(Field(name, "reference", kind, nullable=nullable.get(name, True)))
        elif kind in VALUES:
            fields.append(Field(name, "value", kind, nullable=nullable.get(name, True)))
        else:
            fields.append(Field(name, "plain", kind, nullable=nullable.get(name, True)))
    return Class(
        name=declared[1],
        base=declared[3],
        abstract="_field_info =" not in python,
        fields=tuple(fields),
        is_global=_says(python, "isGlobal"),
        is_mutable=_says(python, "isMutable"),
        is_link=_says(python, "isLink"),
        full_name=found[1] if (found := _FULL_NAME.search(python)) else f"ome.model.{declared[1]}",
    )


def _says(python: str, method: str) -> bool:
    return re.search(rf"def {method}\(self, current = None\):\n\s+return\s+True", python) is not None
