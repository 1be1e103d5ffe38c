"""Whose session is used when: the person's own while it lives, a minted one after that, else the next login (pure)."""

from __future__ import annotations

from enum import Enum

import msgspec

REFUSED_FOR_S = 300.0
"""How long a refusal to mint stands before it is tried again: somebody may have mended the account meanwhile."""


class Minting(Enum):
    """Whether sessions can be opened for people at all."""

    NOT_SET = "no minter is set (omero.minter)"
    SET = "a minter is set"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one person's sessions."""

    own_lives: bool = False
    minted_lives: bool = False
    refusal: str = ""
    """Why the minter could not open one, the last time."""
    refused_at_s: float = 0.0


class UseOwn(msgspec.Struct, frozen=True):
    """Act in the person's own session; one that was minted is not needed any more."""

    end_minted: bool = False


class UseMinted(msgspec.Struct, frozen=True):
    """Act in the session that was minted."""


class Mint(msgspec.Struct, frozen=True):
    """Open a session for the person, and ask again."""


class AwaitLogin(msgspec.Struct, frozen=True):
    """Nobody may act for the person until the next login."""

    reason: str


Choice = UseOwn | UseMinted | Mint | AwaitLogin


def choose(standing: Standing, minting: Minting, *, now_s: float) -> Choice:
    """Say in which session to act."""
    if standing.own_lives:
        return UseOwn(end_minted=standing.minted_lives)
    if standing.minted_lives:
        return UseMinted()
    if minting is Minting.NOT_SET:
        return AwaitLogin(minting.value)
    if standing.refusal and now_s - standing.refused_at_s < REFUSED_FOR_S:
        return AwaitLogin(standing.refusal)
    return Mint()


class LoggedIn(msgspec.Struct, frozen=True):
    """The person has handed in a session of theirs."""


class OwnEnded(msgspec.Struct, frozen=True):
    """The person's own session is over."""


class Minted(msgspec.Struct, frozen=True):
    """A session was opened for the person."""


class MintedEnded(msgspec.Struct, frozen=True):
    """The minted session is over."""


class MintRefused(msgspec.Struct, frozen=True):
    """The minter may not act for the person."""

    reason: str
    at_s: float


SessionEvent = LoggedIn | OwnEnded | Minted | MintedEnded | MintRefused


def after(standing: Standing, event: SessionEvent) -> Standing:
    """What is known once something has happened."""
    match event:
        case LoggedIn():
            return msgspec.structs.replace(standing, own_lives=True)
        case OwnEnded():
            return msgspec.structs.replace(standing, own_lives=False)
        case Minted():
            return msgspec.structs.replace(standing, minted_lives=True, refusal="", refused_at_s=0.0)
        case MintedEnded():
            return msgspec.structs.replace(standing, minted_lives=False)
        case MintRefused(reason=reason, at_s=at_s):
            return msgspec.structs.replace(standing, minted_lives=False, refusal=reason, refused_at_s=at_s)
