"""Who may read what, held against the kernel's own answers where that can be."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.plates.errors import SourceUnreadable
from hcs_mesh.plates.permissions import Account, AclEntry, Node, may, parse_acl, within

ANNA = Account("anna", 4001, (4001, 5000))
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (Node(0o400, 4001, 1), True),
        (Node(0o077, 4001, 5000), False),  # the owner's bits alone count for the owner
        (Node(0o040, 1, 5000), True),
        (Node(0o004, 1, 5000), False),  # and the group's for the group
        (Node(0o004, 1, 1), True),
        (Node(0o040, 1, 1), False),
        (Node(0o040, 1, 1, (AclEntry(USER, 4, 4001), AclEntry(MASK, 4, 0))), True),
        (Node(0o000, 1, 1, (AclEntry(USER, 4, 4001), AclEntry(MASK, 0, 0))), False),  # the mask takes it back
        (Node(0o044, 1, 1, (AclEntry(USER, 0, 4001), AclEntry(MASK, 4, 0))), False),  # named, and given nothing
        (Node(0o000, 1, 1, (AclEntry(GROUP, 4, 5000), AclEntry(MASK, 4, 0))), True),
        (Node(0o004, 1, 1, (AclEntry(GROUP, 0, 5000), AclEntry(MASK, 4, 0))), False),
        (Node(0o044, 1, 5000, (AclEntry(GROUP_OBJ, 0, 0), AclEntry(GROUP, 4, 4001), AclEntry(MASK, 4, 0))), True),
        (Node(0o004, 1, 1, (AclEntry(GROUP, 4, 7), AclEntry(MASK, 4, 0))), True),
    ],
)
def test_the_first_entry_that_speaks_of_an_account_decides(node: Node, expected: bool) -> None:
    assert may(ANNA, node, read=True) is expected


def test_root_may_everything() -> None:
    assert may(Account("root", 0, (0,)), Node(0, 7, 7), read=True, enter=True)


@given(st.binary(max_size=80))
def test_a_list_that_is_damaged_is_refused_and_never_guessed(value: bytes) -> None:
    try:
        parsed = parse_acl(value)
    except SourceUnreadable:
        return
    assert len(value) == (4 + 8 * len(parsed) if value else 0)


@given(st.binary(min_size=32, max_size=32))
def test_a_list_of_the_version_known_is_read_whole(entries: bytes) -> None:
    assert len(parse_acl(b"\x02\0\0\0" + entries)) == 4


def test_a_folder_that_only_begins_like_another_is_not_inside_it() -> None:
    assert within("/data/a", "/data/a")
    assert within("/data/a/b", "/data/a")
    assert within("/data", "/")
    assert not within("/data/ab", "/data/a")


KERNEL = """
import os, sys
os.setgroups([5000]); os.setgid(4001); os.setuid(4001)
for path in sys.argv[1:]:
    print(int(os.access(path, os.R_OK)))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any account can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="hcs-mesh-acl-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def acl(*entries: tuple[int, int, int]) -> bytes:
    none = 0xFFFFFFFF
    lines = [(tag, permissions, none if qualifier < 0 else qualifier) for tag, permissions, qualifier in entries]
    return b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + permissions.to_bytes(2, "little") + qualifier.to_bytes(4, "little")
        for tag, permissions, qualifier in lines
    )


@pytest.mark.needs("root")
def test_the_kernel_says_the_same_of_every_mode_owner_and_list(open_folder: Path) -> None:
    paths: list[Path] = []
    for mode in (0o000, 0o400, 0o040, 0o004, 0o444, 0o077):
        for uid, gid in ((4001, 1), (1, 5000), (1, 4001), (1, 1)):
            for n, entries in enumerate(
                (
                    (),
                    ((USER, 4, 4001),),
                    ((USER, 0, 4001), (GROUP, 4, 5000)),
                    ((GROUP, 4, 5000), (GROUP, 0, 4001)),
                    ((GROUP, 4, 7),),
                )
            ):
                path = open_folder / f"{mode:o}-{uid}-{gid}-{n}"
                path.touch()
                os.chown(path, uid, gid)
                path.chmod(mode)
                if entries:
                    own = ((USER_OBJ, mode >> 6 & 7, -1),)
                    users = tuple(entry for entry in entries if entry[0] == USER)
                    groups = tuple(sorted(entry for entry in entries if entry[0] == GROUP))
                    rest = ((MASK, 4, -1), (OTHER, mode & 7, -1))
                    # Lists are kept in this order, groups by their number.
                    ordered = (*own, *users, (GROUP_OBJ, mode >> 3 & 7, -1), *sorted(groups, key=lambda e: e[2]), *rest)
                    os.setxattr(path, "system.posix_acl_access", acl(*ordered))
                paths.append(path)
    done = subprocess.run([sys.executable, "-c", KERNEL, *map(str, paths)], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    for path, answer in zip(paths, done.stdout.split(), strict=True):
        status = path.stat()
        try:
            value = os.getxattr(path, "system.posix_acl_access")
        except OSError:
            value = b""
        node = Node(status.st_mode & 0o777, status.st_uid, status.st_gid, parse_acl(value))
        assert may(ANNA, node, read=True) is bool(int(answer)), path.name
