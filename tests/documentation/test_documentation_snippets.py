"""What the documentation shows runs, and the commands it names exist with the options it gives them."""

import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")


class Snippet(NamedTuple):
    """A fenced block of one page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(CHECKOUT)}:{self.line}"


def snippets(language: str) -> Iterator[Snippet]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match[1] == language:
                yield Snippet(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])


def commands() -> Iterator[tuple[str, str]]:
    """Each 'hcs-mesh ...' that a console block shows, with its place."""
    for snippet in snippets("console"):
        for offset, line in enumerate(snippet.text.replace("\\\n", " ").splitlines(), start=1):
            if line.startswith(("$ hcs-mesh", "# hcs-mesh")):
                yield f"{snippet.page.relative_to(CHECKOUT)}:{snippet.line + offset}", line[2:]


def own_words(words: list[str]) -> Iterator[str]:
    """The words of a command without the options that may stand anywhere in it: which mesh is meant, and who asks."""
    from hcs_mesh.command_line.failures import EVERYWHERE

    rest = iter(words)
    for word in rest:
        if word in EVERYWHERE:
            next(rest)
        elif word.partition("=")[0] not in EVERYWHERE:
            yield word


@pytest.mark.timeout(180)
@pytest.mark.parametrize("snippet", list(snippets("python")), ids=lambda snippet: snippet.place)
def test_a_python_snippet_runs(snippet: Snippet, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(snippet.text, encoding="utf-8")
    result = subprocess.run([sys.executable, "-W", "error", str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, f"{snippet.place}\n{result.stderr}"


@pytest.mark.parametrize("snippet", list(snippets("toml")), ids=lambda snippet: snippet.place)
def test_a_settings_snippet_loads(snippet: Snippet, tmp_path: Path) -> None:
    from hcs_mesh.config import load_settings

    file = tmp_path / "settings.toml"
    file.write_text(snippet.text, encoding="utf-8")
    load_settings(file, environ={})


@pytest.mark.parametrize(("place", "command"), list(commands()), ids=[place for place, _ in commands()])
def test_a_command_of_the_documentation_exists_with_its_options(place: str, command: str) -> None:
    import typer.main

    from hcs_mesh.__main__ import app

    words = list(own_words(shlex.split(command.partition(" | ")[0], comments=True)[1:]))
    current = typer.main.get_command(app)
    context = current.make_context("hcs-mesh", [], resilient_parsing=True)
    while words and hasattr(current, "get_command") and not words[0].startswith("-"):
        following = current.get_command(context, words[0])
        if following is None:
            assert getattr(current, "invoke_without_command", False), f"{place}: no command {words[0]!r}"
            break
        current = following
        context = current.make_context(words.pop(0), [], parent=context, resilient_parsing=True)
    options = [(*parameter.opts, *parameter.secondary_opts) for parameter in current.get_params(context)]
    known = set(itertools.chain.from_iterable(options))
    unknown = [word for word in words if word.startswith("-") and word.split("=")[0] not in known]
    assert unknown == [], f"{place}: {current.name} knows {sorted(known)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    broken = [target for target in targets if not (page.parent / target).exists()]
    assert broken == []


def test_every_decision_is_in_the_index() -> None:
    folder = CHECKOUT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    records = [record.name for record in folder.glob("[0-9]*.md")]
    assert records
    assert [name for name in records if f"({name})" not in index] == []
