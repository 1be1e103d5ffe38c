"""XML as a stream of finished elements: memory stays flat, and document types are refused (pure)."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator
from typing import IO
from xml.parsers import expat

from ..errors import MetadataError, NotYetComplete

_CHUNK_BYTES = 1 << 16
_CUT_SHORT = frozenset(
    expat.errors.codes[text]
    for text in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)


_MOST_DIGITS, _MOST = 20, 2**31 - 1
"""What is counted is kept in four bytes, and written in no more than so many digits."""


def elements(stream: IO[bytes], tags: Collection[str], *, source: str) -> Iterator[ET.Element]:
    """Yield every finished element of these local names, without its namespace; it is emptied afterwards.

    Elements of a listed name inside another listed one are yielded first and are empty in the outer one.

    Raises:
        NotYetComplete: the XML ends before its last element does, or in the zeros of a copy that is under way.
        MetadataError: it is damaged, or declares a document type.
    """
    root_attributes(stream, source=source)
    try:
        # Without a document type there are no entities to expand, so the plain parser is safe.
        for _, element in ET.iterparse(stream, events=("end",)):  # noqa: S314
            if local(element.tag) in tags:
                yield element
                element.clear()
    except (ET.ParseError, ValueError, LookupError) as error:
        raise _refusal(source, stream, error) from error


def local(tag: str) -> str:
    """Name of an element without its namespace."""
    return tag.rpartition("}")[2]


def attributes(element: ET.Element) -> dict[str, str]:
    """An element's attributes by local name."""
    return {local(name): value.strip() for name, value in element.attrib.items()}


def texts(element: ET.Element) -> dict[str, str]:
    """The texts of an element's children by local name."""
    return {local(child.tag): (child.text or "").strip() for child in element}


def root_attributes(stream: IO[bytes], *, source: str) -> dict[str, str]:
    """The attributes of the outermost element; the stream is at its beginning before and after.

    Raises:
        NotYetComplete, MetadataError: as :func:`elements`.
    """
    # A document type can define entities that grow to gigabytes or read other files (CWE-776, CWE-611). It stands
    # before the first element, so the prologue alone is looked at.
    parser = expat.ParserCreate()
    found: list[dict[str, str] | None] = []
    parser.StartDoctypeDeclHandler = lambda *_: found.append(None)
    parser.StartElementHandler = lambda _, attributes: found.append(attributes)
    try:
        while not found and (chunk := stream.read(_CHUNK_BYTES)):
            parser.Parse(chunk)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if not found:
            raise _refusal(source, stream, error) from error
    if found and found[0] is None:
        raise MetadataError(
            f"{source} declares a document type, which no microscope writes and which is refused",
            hint="Remove the <!DOCTYPE ...> declaration if you trust the file.",
        )
    stream.seek(0)
    return (found[0] or {}) if found else {}


def _refusal(source: str, stream: IO[bytes], error: Exception) -> MetadataError:
    if getattr(error, "code", None) in _CUT_SHORT or _ends_in_zeros(stream):
        return NotYetComplete(f"{source} is not closed: {error}", hint="Has the copy finished?")
    return MetadataError(f"{source} is damaged XML: {error}", hint="Has the copy finished?")


def _ends_in_zeros(stream: IO[bytes]) -> bool:
    # A copy over the network often takes the room of a whole file first, and fills it afterwards.
    n_bytes = stream.seek(0, 2)
    stream.seek(max(0, n_bytes - 1))
    return stream.read(1) == b"\0"


def whole(text: str) -> int:
    """A number that counts something, as metadata give it.

    Raises:
        ValueError: it is none, or larger than anything that is counted.
    """
    # Python itself refuses to read thousands of digits; nothing here is counted in more than a few.
    if len(text) > _MOST_DIGITS or abs(number := int(text)) > _MOST:
        raise ValueError(f"number '{text[:_MOST_DIGITS]}'")
    return number


def finite(text: str) -> float:
    """A measure, as metadata give it.

    Raises:
        ValueError: it is none, or infinite, or no number at all.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"measure '{text[:_MOST_DIGITS]}'")
    return number
