"""Who may read and write what, by OMERO's rules for groups (pure)."""

from __future__ import annotations

from dataclasses import dataclass, replace

PRIVATE, READ_ONLY, READ_ANNOTATE, READ_WRITE = "rw----", "rwr---", "rwra--", "rwrw--"
SYSTEM_GROUP, USER_GROUP, GUEST_GROUP = 0, 1, 2
ROOT, GUEST = 0, 1
PRIVILEGES = frozenset({
    "Chgrp", "Chown", "DeleteFile", "DeleteManagedRepo", "DeleteOwned", "DeleteScriptRepo", "ModifyGroup",
    "ModifyGroupMembership", "ModifyUser", "ReadSession", "Sudo", "WriteFile", "WriteManagedRepo", "WriteOwned",
    "WriteScriptRepo",
})  # fmt: skip


SYSTEM_PRIVILEGES = {
    "Experimenter": "ModifyUser",
    "ExperimenterGroup": "ModifyGroup",
    "GroupExperimenterMap": "ModifyGroupMembership",
}
"""What it takes to write these; other things of the system take any administrator."""


@dataclass(frozen=True)
class Caller:
    """One user in the context of one call."""

    user: int
    group: int | None
    """The group that the call is about; None for all of the user's at once."""
    member_of: frozenset[int]
    leader_of: frozenset[int] = frozenset()
    privileges: frozenset[str] = frozenset()

    @property
    def is_admin(self) -> bool:
        """Also a light administrator is one: all can be read, but written only by privilege."""
        return SYSTEM_GROUP in self.member_of

    def may(self, privilege: str) -> bool:
        return self.is_admin and privilege in self.privileges

    def about(self, group: int | None) -> Caller:
        """The same user in the context of another group."""
        return replace(self, group=group)


@dataclass(frozen=True)
class Owned:
    """Whose an object is, and what its group allows."""

    owner: int
    group: int
    permissions: str
    kind: str = "Owned"
    """By what privileges administrators write and delete it: Owned, File, ManagedRepo."""


@dataclass(frozen=True)
class Rights:
    """What a caller may do with one object, as ``details.permissions`` tells it to the client."""

    link: bool
    edit: bool
    delete: bool
    annotate: bool
    chgrp: bool
    chown: bool

    @property
    def restrictions(self) -> list[bool]:
        """In the order of omero.constants.permissions: true where something is refused."""
        return [not may for may in (self.link, self.edit, self.delete, self.annotate, self.chgrp, self.chown)]


NONE = Rights(*[False] * 6)


def may_read(caller: Caller, owned: Owned) -> bool:
    """Whether the object is there at all for the caller, in the group that the call is about."""
    if owned.group == USER_GROUP:
        return True  # what everybody shares, such as scripts
    if caller.group is not None and owned.group != caller.group:
        return False
    if caller.is_admin or caller.user == owned.owner or owned.group in caller.leader_of:
        return True
    if owned.group in caller.member_of and owned.permissions[2] == "r":
        return True
    return owned.permissions[4] == "r"


def rights(caller: Caller, owned: Owned) -> Rights:
    """What the caller may do with an object that it can read."""
    if caller.user == GUEST:
        return NONE
    own = caller.user == owned.owner
    leads = owned.group in caller.leader_of
    private = owned.permissions[2] != "r"
    shared = owned.permissions[3] if owned.group in caller.member_of else "-"
    privileged = caller.may(f"Write{owned.kind}")
    writes = own or leads or privileged or shared == "w"
    # An administrator cannot put anything onto what only its owner sees: the owner could not read it.
    mixes = own or (not private and (leads or privileged))
    return Rights(
        link=mixes or shared == "w",
        edit=writes,
        delete=own or leads or caller.may(f"Delete{owned.kind}") or shared == "w",
        annotate=mixes or shared in "aw",
        chgrp=own or caller.may("Chgrp"),
        chown=caller.may("Chown") or leads,
    )


def system_rights(caller: Caller, of: str) -> Rights:
    """What the caller may do with what belongs to nobody: users, groups, enumerations."""
    privilege = SYSTEM_PRIVILEGES.get(of)
    writes = caller.is_admin if privilege is None else caller.may(privilege)
    return Rights(link=True, edit=writes, delete=writes, annotate=True, chgrp=False, chown=False)


def is_permissions(text: str) -> bool:
    """Whether a group can have these: ``rwra--``, or with a world that reads."""
    return (
        len(text) == 6
        and text[:2] == "rw"
        and text[2] in "r-"
        and text[3] in ("aw-" if text[2] == "r" else "-")
        and text[4] in ("r-" if text[2] == "r" else "-")
        and text[5] == "-"
    )
