"""Nothing is swallowed but where a decision says so, and each suppression says why."""

import ast
from collections.abc import Iterator
from pathlib import Path

# docs/decisions/0008-who-may-catch-everything.md argues for each.
ALLOWED = {
    # A thread hands on whatever ended it, to whoever asked.
    "actors/apart.py": {"run"},
    # A facility's own function, which only describes.
    "plates/extra_metadata.py": {"described"},
    "supervisors/life.py": {"_run"},
    "supervisors/shift.py": {"_start", "_watch", "_ask_to_stop"},
    "supervisors/reports.py": {"tell"},
    "transport/link.py": {"lost"},
}
EVERYTHING = {"Exception", "BaseException"}


def modules(checkout: Path) -> Iterator[tuple[str, str]]:
    """Every module of the package, by its path in the checkout."""
    rooms = {path.parent.relative_to(checkout).parts[0] for path in checkout.glob("*/__init__.py")}
    for room in sorted(rooms):
        for path in sorted((checkout / room).rglob("*.py")):
            yield path.relative_to(checkout).as_posix(), path.read_text(encoding="utf-8")


def catches_everything(handler: ast.ExceptHandler) -> bool:
    named = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(one is None or (isinstance(one, ast.Name) and one.id in EVERYTHING) for one in named)


def passes_it_on(handler: ast.ExceptHandler) -> bool:
    """Whether it cleans up and raises again, as the last thing it does."""
    return isinstance(handler.body[-1], ast.Raise)


def swallowing(text: str) -> Iterator[str]:
    """The functions that catch everything and do not raise it again."""
    tree = ast.parse(text)
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    for handler in [one for one in ast.walk(tree) if isinstance(one, ast.ExceptHandler)]:
        if catches_everything(handler) and not passes_it_on(handler):
            around = [one for one in functions if one.lineno <= handler.lineno <= (one.end_lineno or 0)]
            yield max(around, key=lambda one: one.lineno).name if around else "<module>"


def test_everything_is_caught_only_where_it_was_decided(checkout: Path) -> None:
    found = {name: set(swallowing(text)) for name, text in modules(checkout)}
    assert {name: places for name, places in found.items() if places} == ALLOWED


def test_each_suppression_is_narrow_and_says_why(checkout: Path) -> None:
    wrong = []
    for name, text in modules(checkout):
        lines = text.splitlines()
        for n, line in enumerate(lines):
            if "suppress(" not in line or line.lstrip().startswith("#"):
                continue
            says_why = "#" in line or lines[n - 1].lstrip().startswith("#")
            if not says_why or "suppress(Exception" in line or "suppress(BaseException" in line:
                wrong.append(f"{name}:{n + 1}: {line.strip()}")
    assert wrong == []


def test_the_search_finds_what_it_looks_for() -> None:
    assert list(swallowing("def f():\n  try: g()\n  except Exception: pass\n")) == ["f"]
    assert list(swallowing("def f():\n  try: g()\n  except: pass\n")) == ["f"]
    assert list(swallowing("try: g()\nexcept (OSError, BaseException): h()\n")) == ["<module>"]
    assert list(swallowing("def f():\n  try: g()\n  except BaseException:\n    h()\n    raise\n")) == []
    assert list(swallowing("def f():\n  try: g()\n  except OSError: pass\n")) == []
