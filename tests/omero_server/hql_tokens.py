"""HQL word by word (pure)."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d+|\d+)[lLdDfF]?|(?P<string>'(?:[^']|'')*')|:(?P<parameter>\w+)"
    r"|(?P<word>[A-Za-z_][\w$]*)|(?P<sign><>|!=|<=|>=|\|\||[-+*/=<>(),.]))"
)
RESERVED = frozenset({
    "select", "distinct", "from", "as", "join", "left", "right", "inner", "outer", "full", "fetch", "where",
    "and", "or", "not", "in", "is", "null", "like", "escape", "order", "group", "by", "asc", "desc", "exists",
    "between", "having", "new", "true", "false", "with", "case", "when", "then", "else", "end", "empty",
    "member", "of", "union",
})  # fmt: skip


class HqlError(Exception):
    """The query is wrong, or says something that the stand-in has not learnt."""


class Tokens:
    """The words of a query, and how far they have been read."""

    def __init__(self, text: str) -> None:
        self._tokens = _split(text)
        self._at = 0

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _text(self) -> str:
        return self._tokens[self._at][1]

    def _is(self, *words: str) -> bool:
        ahead = self._tokens[self._at : self._at + len(words)]
        return len(ahead) == len(words) and all(
            kind == "word" and text.lower() == word for (kind, text, _), word in zip(ahead, words, strict=True)
        )

    def _takes(self, *words: str) -> bool:
        if not self._is(*words):
            return False
        self._at += len(words)
        return True

    def _must(self, *words: str) -> None:
        if not self._takes(*words):
            self._wrong(f"expected {' '.join(words)!r}")

    def _takes_sign(self, sign: str) -> bool:
        if self._tokens[self._at][:2] != ("sign", sign):
            return False
        self._at += 1
        return True

    def _must_sign(self, sign: str) -> None:
        if not self._takes_sign(sign):
            self._wrong(f"expected {sign!r}")

    def _word(self) -> str:
        kind, text, _ = self._tokens[self._at]
        if kind != "word":
            self._wrong("expected a name")
        self._at += 1
        return text

    def _wrong(self, why: str) -> None:
        kind, text, column = self._tokens[self._at]
        found = "end of query" if kind == "end" else f"token: {text}"
        raise HqlError(f"unexpected {found} near column {column}: {why}")

    def must_be_over(self) -> None:
        if self._kind() != "end":
            self._wrong("nothing more was expected")


def _split(text: str) -> list[tuple[str, str, int]]:
    tokens = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise HqlError(f"unexpected char: {text[at:].lstrip()[:1]!r} near column {at + 1}")
        tokens.append((found.lastgroup, found[found.lastgroup], found.start(found.lastgroup) + 1))
        at = found.end()
    return [*tokens, ("end", "", len(text) + 1)]
