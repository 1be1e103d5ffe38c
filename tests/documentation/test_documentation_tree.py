"""The supervision tree of the documentation is that of the code."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
IN_CODE = re.compile(r'(?:Supervisor|node\.actor)\(\s*"([^"]+)"')
IN_PAGE = re.compile(r"^[│├└─ ]*(\S+(?: \S+)*)", re.MULTILINE)


def test_the_page_on_supervision_shows_every_branch_and_actor_of_a_mesh() -> None:
    page = (CHECKOUT / "docs" / "supervision.md").read_text(encoding="utf-8")
    (tree,) = (block for block in re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    names = set(IN_CODE.findall((CHECKOUT / "mesh" / "tree.py").read_text(encoding="utf-8")))
    assert {"control", "nodes", "scheduler", "executors elsewhere"} <= names
    assert names - set(IN_PAGE.findall(tree)) == set()
