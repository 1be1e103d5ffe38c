"""Whose a job or an import is, and so who decides about it."""

from __future__ import annotations

from ..transport import Principal
from ..transport.messages import ROLES, Role
from .errors import NotTheirs


def administers(role: Role) -> bool:
    """Whether keys of a role may do what only administrators may; the mesh's own parts may."""
    return ROLES.index(role) >= ROLES.index("administrator")


def is_administrator(asker: Principal) -> bool:
    """Whether a key may do what only administrators may."""
    return administers(asker.role)


def is_theirs(owner: str, asker: Principal) -> bool:
    """Whether somebody may decide about what is ``owner``'s."""
    return owner in ("", asker.name) or is_administrator(asker)


def insist_theirs(what: str, owner: str, asker: Principal) -> None:
    """Promise that somebody may decide about ``what`` is ``owner``'s.

    Raises:
        NotTheirs: only the owner or an administrator may.
    """
    if not is_theirs(owner, asker):
        raise NotTheirs(
            f"{what} is {owner}'s, and {asker.name} decides about no other's",
            hint=f"ask {owner} or an administrator",
        )
