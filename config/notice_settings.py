"""The settings of what people and programs are told: how long it is tried, by which mail server, which hooks (pure)."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from .errors import ConfigError
from .mail_address import is_address
from .section import Days, Seconds, Section

NoticeKind = Literal["import.done", "import.failed", "import.attention"]
"""What a notice tells: an import is in the repository; it failed; it waits for a person."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class NoticeSettings(Section, frozen=True, kw_only=True):
    """How long a notice is tried and kept."""

    first_retry_s: Seconds = 10.0
    """The wait after a first failure; each further one doubles it."""
    longest_retry_s: Seconds = 900.0
    """The longest wait between two tries."""
    give_up_days: Days = 7.0
    """Days after which a notice that could not be delivered counts as failed; `notices retry` takes it up again."""
    keep_days: Days = 30.0
    """Days for which a notice that is over is still listed, and not sent a second time."""

    def __post_init__(self) -> None:
        """Refuse a first wait above the longest.

        Raises:
            ConfigError: When first_retry_s is above longest_retry_s.
        """
        if self.first_retry_s > self.longest_retry_s:
            raise ConfigError(
                f"notices.first_retry_s ({self.first_retry_s:g}) is above notices.longest_retry_s "
                f"({self.longest_retry_s:g}).",
                hint="Raise longest_retry_s or lower first_retry_s.",
            )


class MailSettings(Section, frozen=True, kw_only=True):
    """The mail server; without a host mails wait until there is one."""

    host: str = ""
    """The mail server's name or address; empty means that there is none."""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """The mail server's port; 0 is the usual one: 25, with starttls 587, with tls 465."""
    security: Literal["none", "starttls", "tls"] = "starttls"
    """"starttls" begins in the clear and insists on encryption, "tls" is encrypted from the first byte."""
    ca_file: str = ""
    """The certificates (PEM) that the mail server's may be signed with; empty means the system's."""
    user: str = ""
    """The name to log in with; empty means no login."""
    password_file: str = ""
    """The absolute path of the file, readable by its owner alone, whose first line is the password."""
    sender: str = ""
    """The address that mails come from."""
    administrators: tuple[str, ...] = ()
    """The addresses that hear of every failure beside the requester."""
    timeout_s: Seconds = 30.0
    """How long the mail server may take for one answer."""
    answer_s: Seconds = 600.0
    """How long it may take to answer for a mail that it has whole: RFC 5321 grants it ten minutes."""
    attachment_mib: Annotated[int, Meta(ge=1, le=1_024)] = 5
    """The largest certificate that is attached; of a larger one the mail gives the path alone."""

    @property
    def server_port(self) -> int:
        """The port to dial."""
        return self.port or {"none": 25, "starttls": 587, "tls": 465}[self.security]

    def __post_init__(self) -> None:
        """Refuse what is no address, no sender, and a login that would travel in the clear or has no password.

        Raises:
            ConfigError: When mail.sender or mail.password_file is missing, an address is none, or mail.user would not
                be encrypted.
        """
        if (self.host or self.sender) and not is_address(self.sender):
            raise ConfigError(
                f"mail.sender is {self.sender!r}, which is no mail address; mail.host is {self.host!r}.",
                hint="Set mail.sender to the address that mails come from, as mesh@example.org.",
            )
        for address in self.administrators:
            if not is_address(address):
                raise ConfigError(
                    f"mail.administrators names {address!r}, which is no mail address.",
                    hint="Write each as ada@example.org, in ASCII and without a name.",
                )
        if self.user and not PurePath(self.password_file).is_absolute():
            raise ConfigError(
                f"mail.user is {self.user!r}, but mail.password_file ({self.password_file!r}) is no absolute path.",
                hint="Name a file that holds the password, readable by its owner alone (chmod 600).",
            )
        if self.user and self.security == "none" and self.host not in LOOPBACK:
            raise ConfigError(
                f"mail.user is {self.user!r} and mail.security is 'none': the password would cross the network in "
                "the clear.",
                hint="Set mail.security to 'starttls' or 'tls', or leave mail.user out.",
            )


class WebhookSettings(Section, frozen=True, kw_only=True):
    """One address that is sent every notice as JSON."""

    url: str = ""
    """Where it is sent, by HTTP POST."""
    name: str = ""
    """What it is called in lists and logs, which never show the address; else the address's host."""
    secret_file: str = ""
    """The absolute path of the file, readable by its owner alone, whose first line signs what is sent; or empty."""
    events: tuple[NoticeKind, ...] = ("import.done", "import.failed", "import.attention")
    """What is told there."""
    timeout_s: Seconds = 20.0
    """How long the whole answer may take."""

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or urlsplit(self.url).hostname or ""

    def __post_init__(self) -> None:
        """Refuse what is no address, and a secret that cannot be found from everywhere.

        Raises:
            ConfigError: When url or secret_file is not what it must be.
        """
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise ConfigError(f"webhook.url is {self.url!r}, but must begin with http:// or https:// and name a host.")
        if self.secret_file and not PurePath(self.secret_file).is_absolute():
            raise ConfigError(f"webhook.secret_file ({self.secret_file!r}) is no absolute path.")


def check_webhooks(webhooks: tuple[WebhookSettings, ...]) -> None:
    """Refuse two of one name: what waits for one must not go to the other.

    Raises:
        ConfigError: When a name occurs twice.
    """
    twice = [name for name, n in Counter(one.label for one in webhooks).items() if n > 1]
    if twice:
        raise ConfigError(f"two webhooks are called {twice[0]!r}.", hint="Give each [[webhook]] a name of its own.")
