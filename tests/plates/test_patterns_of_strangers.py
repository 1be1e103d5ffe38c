"""Patterns come from anybody: none of them may keep the mesh at work that it has to do for others."""

import re
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates import PatternError
from hcs_mesh.plates.exclusion import MAX_ANY_FOLDERS, MAX_CHARACTERS, MAX_PATTERNS, Exclusion, pattern_of
from hcs_mesh.plates.planners.name_pattern import NamePattern
from hcs_mesh.plates.planners.pattern import compile_pattern

MUCH_S = 5.0
"""Processor time that no pattern may cost for a single path; what is right takes milliseconds."""


def means(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """What a pattern says, word for word, at whatever cost."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(means(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and means(parts[1:], pattern[1:])


WORDS = st.text(alphabet="ab", min_size=1, max_size=2)


@given(
    st.lists(WORDS, min_size=1, max_size=5),
    st.lists(WORDS | st.sampled_from(("**", "*", "?", "a*", "[ab]")), min_size=2, max_size=6),
)
def test_a_path_is_left_out_where_the_pattern_means_it_or_a_folder_above_it(
    path: list[str], pattern: list[str]
) -> None:
    meant = any(means(path[:n], pattern) for n in range(1, len(path) + 1))
    assert ("/".join(path) in Exclusion(["/".join(pattern)])) is meant


def test_a_pattern_of_many_folders_costs_no_power_of_their_number() -> None:
    exclusion = Exclusion(["/".join(["**", "a"] * 12 + ["b"])])
    began_s = time.process_time()
    assert "/".join(["a"] * 40) not in exclusion
    assert "/".join(["a"] * 40 + ["b"]) in exclusion
    assert time.process_time() - began_s < MUCH_S


def test_the_longest_pattern_against_the_longest_path_ends() -> None:
    pattern = "/".join(["**", "a"] * MAX_ANY_FOLDERS + ["a"] * 6000 + ["b"])
    assert len(pattern) <= MAX_CHARACTERS
    began_s = time.process_time()
    assert "/".join(["a"] * 2047) not in Exclusion([pattern])
    assert time.process_time() - began_s < MUCH_S


@pytest.mark.parametrize(
    "patterns",
    [["a" * (MAX_CHARACTERS + 1)], ["/".join(["**", "a"] * (MAX_ANY_FOLDERS + 1))], ["a"] * (MAX_PATTERNS + 1)],
    ids=["long", "many folders", "many"],
)
def test_more_pattern_than_anybody_needs_is_refused(patterns: list[str]) -> None:
    with pytest.raises(PatternError, match=r"no more than|more than the") as caught:
        Exclusion(patterns)
    assert len(str(caught.value)) < 200
    assert caught.value.hint


def test_any_path_that_a_hint_names_can_be_left_out() -> None:
    path = "/".join(["[x]" * 80] * 16)
    assert path in Exclusion([pattern_of(path)])


EXPRESSIONS = {
    "well": r"[A-Za-z]{1,2}\d{1,2}",
    "row": r"[A-Za-z]{1,2}|\d{1,2}",
    "column": r"\d{1,2}",
    "field": r"\d+",
    "channel": r"[^/]+?",
    "z": r"\d+",
    "t": r"\d+",
    "plate": r"[^/]+?",
}
"""What the names of a brace pattern stand for, as regular expressions say it."""

LITERALS = st.text(alphabet="a1_/.", min_size=1, max_size=2)


@given(
    st.permutations(sorted(EXPRESSIONS)),
    st.lists(LITERALS | st.sampled_from(("{_}", "")), min_size=6, max_size=6),
    st.integers(1, 5),
    st.text(alphabet="aB12_./\n", max_size=14),
)
def test_a_brace_pattern_means_what_the_regular_expression_would(
    names: list[str], between: list[str], n_names: int, path: str
) -> None:
    pieces: list[tuple[str, str]] = []
    expression = ""
    for name, piece in zip(names[:n_names], between, strict=False):
        pieces += [(name, ""), ("_", "") if piece == "{_}" else ("", piece)]
        expression += f"(?P<{name}>{EXPRESSIONS[name]})" + (r"(?:[^/]*?)" if piece == "{_}" else re.escape(piece))
    meant = re.fullmatch(r"(?:.*/)?" + expression, path, re.ASCII)
    found = NamePattern([one for one in pieces if one != ("", "")]).match(path)
    assert found == (meant.groupdict() if meant is not None else None)


def test_a_brace_pattern_of_many_names_costs_no_power_of_their_number() -> None:
    pattern = compile_pattern("{_}a" * 200 + "{well}b.tif")
    began_s = time.process_time()
    assert pattern.match("a" * 250 + ".tif") is None
    assert pattern.match("a" * 250 + "A01b.tif") == {"well": "aA01"}
    assert time.process_time() - began_s < MUCH_S


def test_a_brace_pattern_longer_than_any_name_is_refused() -> None:
    with pytest.raises(PatternError, match="no more than 1000"):
        compile_pattern("{well}" + "a" * 1000)
