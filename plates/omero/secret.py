"""A credential in memory: shown by nobody, and neither encoded nor pickled by accident (pure)."""

from __future__ import annotations

from typing import NoReturn, final


@final
class Secret:
    """Text that only ``reveal`` gives out; msgspec and pickle refuse it, so that no journal or message can hold it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is not pickled: hand it over where it is needed.")
