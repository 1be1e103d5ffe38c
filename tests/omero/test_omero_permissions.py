"""Who may read and write what, by the table of OMERO's groups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omero_server.permissions import (
    NONE,
    PRIVATE,
    PRIVILEGES,
    READ_ANNOTATE,
    READ_ONLY,
    READ_WRITE,
    Caller,
    Owned,
    is_permissions,
    may_read,
    rights,
    system_rights,
)

LAB, OTHER = 10, 11
OWNER, MEMBER, LEADER, STRANGER, ADMIN, LIGHT = (
    Caller(2, LAB, frozenset({1, LAB})),
    Caller(3, LAB, frozenset({1, LAB})),
    Caller(4, LAB, frozenset({1, LAB}), leader_of=frozenset({LAB})),
    Caller(5, None, frozenset({1, OTHER})),
    Caller(0, LAB, frozenset({0, 1}), privileges=PRIVILEGES),
    Caller(6, LAB, frozenset({0, 1}), privileges=frozenset({"Sudo"})),
)
KINDS = [PRIVATE, READ_ONLY, READ_ANNOTATE, READ_WRITE]

# read, annotate, edit, delete, in private | read-only | read-annotate | read-write groups
TABLE = {
    "owner": (OWNER, ["raed", "raed", "raed", "raed"]),
    "member": (MEMBER, ["----", "r---", "ra--", "raed"]),
    "leader": (LEADER, ["r-ed", "raed", "raed", "raed"]),
    "stranger": (STRANGER, ["----", "----", "----", "----"]),
    "administrator": (ADMIN, ["r-ed", "raed", "raed", "raed"]),
    "light administrator": (LIGHT, ["r---", "r---", "r---", "r---"]),
}


@pytest.mark.parametrize("who", TABLE)
@pytest.mark.parametrize("kind", KINDS)
def test_what_each_may_do_with_anothers_object(who: str, kind: str) -> None:
    caller, expected = TABLE[who]
    owned = Owned(OWNER.user, LAB, kind)
    may = rights(caller, owned)
    seen = may_read(caller, owned)
    said = zip("raed", (True, may.annotate, may.edit, may.delete), strict=True)
    assert "".join(letter if seen and yes else "-" for letter, yes in said) == expected[KINDS.index(kind)]


def test_privileges_are_for_objects_for_files_and_for_imported_files_apart() -> None:
    for kind in ("Owned", "File", "ManagedRepo"):
        light = Caller(6, LAB, frozenset({0, 1}), privileges=frozenset({f"Write{kind}"}))
        writes = {one for one in ("Owned", "File", "ManagedRepo") if rights(light, Owned(2, LAB, READ_ONLY, one)).edit}
        assert writes == {kind}
        assert not rights(light, Owned(2, LAB, READ_ONLY, kind)).delete


def test_a_guest_writes_nothing_of_anybodys() -> None:
    assert rights(Caller(1, 2, frozenset({2})), Owned(1, 2, READ_WRITE)) == NONE


@pytest.mark.parametrize(
    ("privileges", "writes"),
    [({"ModifyUser"}, {"Experimenter", "PixelsType"}), ({"ModifyGroup"}, {"ExperimenterGroup", "PixelsType"}),
     (set(), {"PixelsType"})],
)  # fmt: skip
def test_what_belongs_to_the_system_is_linked_by_all_and_written_by_privilege(
    privileges: set[str], writes: set[str]
) -> None:
    light = Caller(6, LAB, frozenset({0, 1}), privileges=frozenset(privileges))
    things = ("Experimenter", "ExperimenterGroup", "GroupExperimenterMap", "PixelsType")
    assert {one for one in things if system_rights(light, one).edit} == writes
    assert all(system_rights(MEMBER, one).link and not system_rights(MEMBER, one).edit for one in things)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("rw----", True), ("rwr---", True), ("rwra--", True), ("rwrw--", True), ("rwrar-", True), ("rw-w--", False),
     ("r-----", False), ("rwxr--", False), ("rw--r-", False), ("rwra-", False)],
)  # fmt: skip
def test_what_permissions_a_group_can_have(text: str, is_one: bool) -> None:
    assert is_permissions(text) is is_one


groups = st.frozensets(st.sampled_from([1, LAB, OTHER]))
callers = st.builds(
    Caller,
    user=st.integers(2, 5),
    group=st.sampled_from([None, LAB, OTHER]),
    member_of=groups,
    leader_of=groups,
    privileges=st.just(frozenset()),
)
objects = st.builds(Owned, st.integers(2, 5), st.sampled_from([LAB, OTHER]), st.sampled_from(KINDS))


@given(callers, objects)
def test_nobody_reads_a_private_object_but_its_owner_and_the_groups_leaders(caller: Caller, owned: Owned) -> None:
    if owned.permissions == PRIVATE and may_read(caller, owned):
        assert caller.user == owned.owner or owned.group in caller.leader_of


@given(callers, objects)
def test_a_call_about_one_group_sees_nothing_of_another(caller: Caller, owned: Owned) -> None:
    if caller.group is not None and caller.group != owned.group:
        assert not may_read(caller, owned)


@given(callers, objects)
def test_whoever_may_edit_may_delete_and_what_is_refused_is_told_in_the_clients_order(
    caller: Caller, owned: Owned
) -> None:
    may = rights(caller, owned)
    assert may.edit == may.delete
    assert [not no for no in may.restrictions] == [
        may.link, may.edit, may.delete, may.annotate, may.chgrp, may.chown,
    ]  # fmt: skip
