"""Commands about keys: who may come in, and what another host must know to dial."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from ..config import load_settings
from ..layout import DataLayout
from ..transport import (
    KeyFileError,
    KeyRing,
    MeshCard,
    NodeMissing,
    Principal,
    Role,
    load_or_create_pair,
    load_pair,
    new_pair,
    parse_address,
    save_pair,
)
from ..transport.key_ring import check_name
from ..transport.keys import check_public
from ..transport.whereabouts import find_mesh, owner_secret
from .errors import CommandFailed
from .options import folder_of
from .printing import print_json

ANYWHERE = ("0.0.0.0", "[::]", "*")  # noqa: S104
"""Where a mesh listens that listens on every address: no host can dial that."""
OWNER = "owner"


def new(data: Path | None, name: str, *, role: Role | None, out: Path | None, as_json: bool) -> None:
    """Make a key pair; with a role it may come in at once.

    Raises:
        KeyFileError: the file exists, or the name does not do, or is taken at this very moment; or, once it is done,
            another file of the ring is no key.
        CommandFailed: somebody of this name is let in already.
    """
    check_name(name)
    path = (out or Path(f"{name}.secret")).absolute()
    ring = _ring(data) if role is not None else None
    if ring is not None:
        _check_free(ring, name)
    pair = new_pair()
    save_pair(path, pair)
    if ring is not None and role is not None:
        try:
            ring.allow(Principal(name=name, role=role), pair.public)
        except BaseException:
            path.unlink()
            raise
    if as_json:
        print_json({"name": name, "file": str(path), "public": pair.public, "role": role})
    else:
        print(f"{path} holds the secret; keep it with its owner")
        print(f"public key: {pair.public}")
        if role is None:
            print(f"on the mesh's host: hcs-mesh keys allow {name} '{pair.public}' --role viewer")
    if ring is not None:
        _tell_wrong(ring)


def show(data: Path | None, file: Path | None, *, as_json: bool) -> None:
    """Print the public half of a secret file, or what another host needs to dial this mesh.

    Raises:
        KeyFileError: the file is no key.
    """
    if file is not None:
        public = load_pair(file).public
        print_json({"file": str(file), "public": public}) if as_json else print(public)
        return
    public = _mesh_public(data)
    address = _address(data)
    if as_json:
        print_json({"public": public, "address": address})
        return
    print(f"the mesh's public key: {public}")
    if address:
        print(f"it listens on {address}")
        print(f"from another host: hcs-mesh --mesh {address} --mesh-key '{public}' --key YOUR.secret status")
        print("or take its card there: hcs-mesh keys card > mesh.toml, then --mesh mesh.toml")
    else:
        print("it does not listen to other hosts: hcs-mesh up --listen HOST:PORT, or front.tcp_host in the settings")


def card(data: Path | None, address: str, *, as_json: bool) -> None:
    """Print the card of this mesh.

    Raises:
        CommandFailed: it listens to no other host, or on every address.
        AddressError: the address is none.
    """
    found = address or _address(data)
    if not found:
        raise CommandFailed(
            "this mesh does not listen to other hosts", hint="hcs-mesh up --listen HOST:PORT, or give --address"
        )
    host = parse_address(found).control.removeprefix("tcp://").rpartition(":")[0]
    if host in ANYWHERE:
        raise CommandFailed(
            f"{found} is every address of this host, which no other host can dial",
            hint="give the one by which others reach it: hcs-mesh keys card --address HOST:PORT",
        )
    made = MeshCard(address=parse_address(found).control, public=_mesh_public(data))
    print_json({"address": made.address, "public": made.public}) if as_json else sys.stdout.write(made.to_toml())


def allow(data: Path | None, name: str, public: str, *, role: Role, as_json: bool) -> None:
    """Let a key in.

    Raises:
        KeyFileError: name or key have not the form of one, or the name is taken at this very moment; or, once it is
            done, another file of the ring is no key.
        CommandFailed: the key is somebody else's, or the name is let in by another key already.
    """
    given = Path(public)
    if len(public) != 40 and given.is_file():
        public = load_pair(given).public
    check_public(public)
    ring = _ring(data)
    known = ring.by_public(public)
    if known is not None and known.name != name:
        raise CommandFailed(
            f"this key is let in already, as {known.name} ({known.role})", hint=f"hcs-mesh keys revoke {known.name}"
        )
    if known is None:
        _check_free(ring, name)
    ring.allow(Principal(name=name, role=role), public)
    if as_json:
        print_json({"name": name, "role": role, "public": public})
    else:
        print(f"{name} may come in as {role}")
    _tell_wrong(ring)


def revoke(data: Path | None, name: str, *, as_json: bool) -> None:
    """Let a key in no longer.

    Raises:
        KeyFileError: nobody of this name is let in; or, once it is done, another file of the ring is no key.
        CommandFailed: it is the owner's.
    """
    ring = _ring(data)
    folder = folder_of(data)
    secret = owner_secret(folder)
    if name == OWNER and secret.exists():
        raise CommandFailed(
            "the owner's key lies in the data folder, and whoever can read that is let in again at the next start",
            hint=f"to exchange it, stop the mesh, remove {secret} and start it again",
        )
    gone = ring.revoke(name)
    if as_json:
        print_json(msgspec.to_builtins(gone))
    else:
        print(f"{gone.name} ({gone.role}) is let in no longer; a mesh that is up hangs up within a second")
    _tell_wrong(ring)


def list_all(data: Path | None, *, as_json: bool) -> None:
    """Print who may come in.

    Raises:
        KeyFileError: a file of the ring is no key; the others are printed all the same.
    """
    ring = _ring(data)
    rows = [{"name": one.name, "role": one.role, "public": public} for one, public in ring.allowed()]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            print(f"{row['name']:<24} {row['role']:<14} {row['public']}")
        if not rows:
            print("nobody is let in yet; the owner's key is made when the mesh first comes up")
    _tell_wrong(ring)


def _ring(data: Path | None) -> KeyRing:
    # One file that is no key must keep nobody from locking another one out: the work is done, then it is told.
    return KeyRing(DataLayout(folder_of(data)).allowed_keys, lenient=True)


def _check_free(ring: KeyRing, name: str) -> None:
    if name == OWNER:
        raise _is_the_owners()
    known = next((one for one, _ in ring.allowed() if one.name == name), None)
    if known is not None:
        raise CommandFailed(
            f"{known.name} is let in already ({known.role}), and would be no longer by the key of before",
            hint=f"hcs-mesh keys revoke {known.name} first, or choose another name",
        )


def _is_the_owners() -> CommandFailed:
    return CommandFailed(
        "the owner's key is made by the mesh, and lies in its data folder", hint="choose another name for this key"
    )


def _tell_wrong(ring: KeyRing) -> None:
    if len(ring.wrong) > 1:
        raise KeyFileError("; ".join(map(str, ring.wrong)), hint=ring.wrong[0].hint)
    for error in ring.wrong:
        raise error


def _mesh_public(data: Path | None) -> str:
    return load_or_create_pair(DataLayout(folder_of(data)).mesh_secret).public


def _address(data: Path | None) -> str:
    """Where the mesh that is up listens, else where the settings let it; empty without TCP."""
    try:
        fronts = [one.control for one in find_mesh(folder_of(data)).endpoints]
    except NodeMissing:
        front = load_settings(data=data).settings.front
        return f"tcp://{front.tcp_host}:{front.tcp_port}" if front.tcp_host else ""
    return next((one for one in fronts if one.startswith("tcp://")), "")
