"""A real mail server on a port of this computer, which can be told to misbehave."""

import asyncio
import datetime as dt
import email
import ipaddress
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from pathlib import Path
from typing import Any, NamedTuple, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from free_ports import free_port


class Mail(NamedTuple):
    """One mail as the server has it."""

    to: list[str]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        return cast(EmailMessage, email.message_from_bytes(self.raw, policy=WIRE))

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        assert part is not None
        return str(part.get_content())


class MailServer:
    """What has come in, and how it answers."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.n_sessions = 0
        self.rcpt: Callable[[str], str] = lambda address: "250 OK"
        self.data: Callable[[Mail], str] = lambda mail: "250 taken"
        """The answer once a mail is in; "drop" hangs up instead."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.port = 0

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.n_sessions += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        said = self.rcpt(address)
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        mail = Mail([str(one) for one in envelope.rcpt_tos], cast(bytes, envelope.original_content))
        self.mails.append(mail)
        said = self.data(mail)
        await self.may_answer.wait()
        if said == "drop":
            assert server.transport is not None
            server.transport.abort()
        return said


@asynccontextmanager
async def mail_server(
    *,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
    login: tuple[str, str] | None = None,
    server: MailServer | None = None,
) -> AsyncIterator[MailServer]:
    """Listen on a free port, or on ``port``; with ``login`` nobody else sends anything."""
    mails = server or MailServer()

    def authenticate(_server: object, _session: object, _envelope: object, _mechanism: str, data: Any) -> AuthResult:
        good = login is not None and (data.login.decode(), data.password.decode()) == login
        return AuthResult(success=good, handled=good)

    def session() -> SMTP:
        with warnings.catch_warnings():
            # It warns of servers that let people log in without encryption; ours is on this computer.
            warnings.simplefilter("ignore", UserWarning)
            return SMTP(
                mails,
                hostname="mail.example.org",
                tls_context=None if implicit else tls,
                require_starttls=tls is not None and not implicit,
                auth_required=login is not None,
                auth_require_tls=False,
                authenticator=authenticate if login is not None else None,
                loop=asyncio.get_running_loop(),
            )

    listening = await asyncio.get_running_loop().create_server(
        session, "127.0.0.1", port or free_port(), ssl=tls if implicit else None, reuse_address=True
    )
    mails.port = listening.sockets[0].getsockname()[1]
    try:
        yield mails
    finally:
        listening.close()


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for this computer (PEM), and the server's side of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = folder / "mail.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = folder / "mail.key"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context
