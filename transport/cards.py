"""A mesh card: the little file by which a mesh is found from another host."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec

from ..config.errors import MeshError
from .addresses import AddressError, Endpoint, tcp_endpoint
from .keys import KeyFileError, check_public

_ADDRESS = re.compile(r"(?:tcp://)?(\[[^\]]+\]|[^:/\s]+):(\d{1,5})")


class MeshCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a mesh listens, and the public key that must answer there."""

    address: str
    public: str

    @property
    def endpoint(self) -> Endpoint:
        """The two channels at the address.

        Raises:
            AddressError: it is none.
        """
        return parse_address(self.address)

    def to_toml(self) -> str:
        """The text of the file."""
        # Literal strings: Z85 knows no quote, and no escape must be read in it.
        return f"address = '{self.address}'\npublic = '{self.public}'\n"


class NoCard(MeshError, ValueError):
    """What was given says neither where a mesh is nor whose key must answer."""


def parse_address(text: str) -> Endpoint:
    """The endpoint of ``tcp://HOST:PORT`` or ``HOST:PORT``.

    Raises:
        AddressError: it is no such address.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        raise AddressError(f"'{text}' is not tcp://HOST:PORT", hint="for example tcp://gpu7.example.org:7777")
    return tcp_endpoint(found[1].strip("[]"), int(found[2]))


def load_card(path: Path) -> MeshCard:
    """Read a card.

    Raises:
        NoCard: the file is missing or no card.
    """
    try:
        card = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), MeshCard)
        check_public(card.public)
        parse_address(card.address)
    except (OSError, UnicodeDecodeError) as error:
        raise NoCard(
            f"cannot read the mesh card {path}: {error}", hint="hcs-mesh keys card writes one, on the mesh's host"
        ) from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, AddressError, KeyFileError) as error:
        raise NoCard(
            f"{path} is no mesh card: {error}", hint="it needs address and public; hcs-mesh keys card writes one"
        ) from error
    return card


def find_card(mesh: str, public: str = "") -> MeshCard:
    """The card that is meant by a card's file, or by an address and a public key (or a file that holds it).

    Raises:
        NoCard: the file is no card, or an address comes without a key.
        AddressError: it is neither a file nor an address.
        KeyFileError: the public key is none.
    """
    if not _ADDRESS.fullmatch(mesh.strip()):
        return load_card(Path(mesh))
    if not public:
        raise NoCard(
            f"{mesh} comes without the mesh's public key",
            hint="give --mesh-key PUBLIC, or a mesh card (hcs-mesh keys card > mesh.toml on its host) instead",
        )
    given = Path(public)
    if len(public) != 40 and given.is_file():
        public = _public_in(given)
    check_public(public)
    return MeshCard(address=mesh.strip(), public=public)


def _public_in(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        held = tomllib.loads(text).get("public", "") if "=" in text and "public" in text else text
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KeyFileError(f"cannot read a public key from {path}: {error}", hint="hcs-mesh keys show prints it") from (
            error
        )
    return str(held).strip()
