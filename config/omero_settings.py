"""The settings of an OMERO.server: where it is, how it is trusted, and who may act for people there (pure)."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from msgspec import Meta

from .errors import ConfigError
from .section import AtOnce, Seconds, Section


class OmeroSettings(Section, frozen=True, kw_only=True):
    """The OMERO.server that holds the plates; without a host they lie in the local repository."""

    host: str = ""
    """The server's name or address; empty means that there is none."""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 4064
    """The server's secure port."""
    verify_certificate: bool = True
    """Whether the server's certificate is checked; OMERO's own clients do not."""
    ca_file: str = ""
    """The absolute path of the certificates (PEM) that the server's may be signed with; empty means the system's."""
    connect_timeout_s: Seconds = 30.0
    """How long connecting and logging in may take."""
    call_timeout_s: Seconds = 60.0
    """How long one call may take."""
    connections_per_session: AtOnce = 4
    """Connections that one person's session may hold at the same time."""
    keep_alive_s: Seconds = 60.0
    """How often a session in use is kept alive; the server ends those that are idle, after ten minutes as shipped."""
    rest_after_s: Seconds = 28_800.0
    """How long nothing may have been done in a session before it is kept alive no longer."""
    managed_repository: str = ""
    """The absolute path at which the server's managed repository is mounted here; empty means that it is not."""
    minter: str = ""
    """The light administrator with the Sudo privilege alone who opens sessions for people; empty means none."""
    minter_secret_file: str = ""
    """The absolute path of the file, readable by its owner alone, whose first line is the minter's password."""
    minted_idle_s: Seconds = 600.0
    """How long a session that the minter opened may be idle."""

    def __post_init__(self) -> None:
        """Refuse what cannot be found from everywhere, and a minter that has no secret or every right.

        Raises:
            ConfigError: When a path is not absolute, or omero.minter cannot be one.
        """
        for name in ("ca_file", "managed_repository", "minter_secret_file"):
            path = getattr(self, name)
            if path and not PurePath(path).is_absolute():
                raise ConfigError(f"omero.{name} ({path!r}) is no absolute path.")
        if self.minter and not self.minter_secret_file:
            raise ConfigError(
                f"omero.minter is {self.minter!r}, but omero.minter_secret_file names no file.",
                hint="Name a file that holds the minter's password, readable by its owner alone (chmod 600).",
            )
        if self.minter == "root":
            raise ConfigError(
                "omero.minter is 'root', who may do everything to everybody's data.",
                hint="Make a light administrator with the Sudo privilege alone, and name that.",
            )
