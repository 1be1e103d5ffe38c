"""The settings of plates that others serve by HTTP (pure)."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from .errors import ConfigError
from .section import Seconds, Section


class HttpPlateSettings(Section, frozen=True, kw_only=True):
    """One OME-Zarr plate that somebody serves by HTTP; it is seen and analysed, and never written to."""

    name: str = ""
    """What the plate is called here."""
    url: str = ""
    """The address of the plate's own folder, the one that holds .zattrs or zarr.json."""
    fresh_s: Seconds = 60.0
    """How long its structure is told from memory before its address is asked whether it has changed."""

    @property
    def address(self) -> str:
        """The address without a slash at its end."""
        return self.url.rstrip("/")

    def __post_init__(self) -> None:
        """Refuse what has no name, and what is no plain address.

        Raises:
            ConfigError: When name or url is not what it must be.
        """
        if not self.name.strip():
            raise ConfigError(f"the plate at {self.url!r} has no name.", hint="Give each [[http_plates]] a name.")
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"http_plates.url is {self.url!r}, which is no address: {error}.") from error
        if parts.scheme not in ("http", "https") or not host or not self.url.isascii() or " " in self.url:
            raise ConfigError(
                f"http_plates.url is {self.url!r}, but must begin with http:// or https://, name a host, and be ASCII."
            )
        if parts.username is not None or parts.password is not None:
            # Not shown: it would be in a log then.
            raise ConfigError(
                f"http_plates.url of {self.name!r} holds a user or a password, which would show in lists and logs.",
                hint="Serve the plate to this host without a log-in.",
            )
        if parts.query or parts.fragment:
            raise ConfigError(f"http_plates.url ({self.url!r}) has a '?' or '#', and files are named below it.")


def check_http_plates(plates: tuple[HttpPlateSettings, ...]) -> None:
    """Refuse two of one name or address.

    Raises:
        ConfigError: When one occurs twice.
    """
    for what, of_each in (("name", [one.name for one in plates]), ("url", [one.address for one in plates])):
        twice = [value for value, n in Counter(of_each).items() if n > 1]
        if twice:
            raise ConfigError(f"two [[http_plates]] have the {what} {twice[0]!r}.", hint="Each plate is named once.")
