"""The way out to the mail server."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosmtplib

from ...config import MailSettings
from ...config.mail_address import is_address
from ...config.secret_file import read_secret
from ...config.written_out import plain
from ...messages.notices import MailTried
from .errors import NoticeInDoubt, NoticePutOff, NoticeRefused, WayClosed
from .mail_text import Attachment, bytes_text, compose, compose_trial, message_id
from .outbox import Delivery

FOR_GOOD = 500
"""From this code on a mail server means what it says for good."""

GO_ON, TAKEN = 354, 250
"""What a mail server says to a mail that is about to come, and to one that it has."""

GOODBYE_S = 2.0


class MailWay:
    """Hands mails to the server, one recipient at a time: one that is refused takes nobody along."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    async def deliver(self, delivery: Delivery, taken: Callable[[], Awaitable[None]]) -> None:
        """Hand one mail over; ``taken`` is called as soon as the server has it, before any farewell.

        Raises:
            WayClosed: the server takes nothing now.
            NoticePutOff, NoticeRefused: it does not take this mail for this recipient, now or for good.
        """
        address = delivery.address
        if not is_address(address):
            raise NoticeRefused(
                f"{plain(address)!r} is no mail address that can be written in ASCII",
                hint="give NAME@HOST with the next import",
            )
        async with self._connected() as server:
            attachment = await asyncio.to_thread(self._attachment, delivery)
            mail = compose(delivery, sender=self._settings.sender, attachment=attachment)
            await self._send(server, address, mail)
            await taken()

    async def try_out(self, address: str) -> MailTried:
        """Send one mail now, and say what happened."""
        settings = self._settings
        server = f"{settings.host}:{settings.server_port} ({settings.security})" if settings.host else "none"
        identity = message_id(uuid.uuid4().hex, settings.sender or "localhost")
        try:
            if not is_address(address):
                raise NoticeRefused(f"{plain(address)!r} is no mail address", hint="give NAME@HOST")
            async with self._connected() as connection:
                mail = compose_trial(sender=settings.sender, to=address, identity=identity, at_unix_s=time.time())
                said = await self._send(connection, address, mail)
        except (WayClosed, NoticePutOff, NoticeRefused) as error:
            return MailTried(delivered=False, server=server, message_id=identity, said=str(error), hint=error.hint)
        return MailTried(delivered=True, server=server, message_id=identity, said=said)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiosmtplib.SMTP]:
        settings = self._settings
        if not settings.host:
            raise WayClosed("no mail server is set", hint="set mail.host and mail.sender, and start the mesh again")
        password = ""
        if settings.user:
            password = await asyncio.to_thread(
                read_secret, settings.password_file, of="mail.password_file", error=WayClosed
            )
        server = _Server(
            hostname=settings.host,
            port=settings.server_port,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=await self._tls(),
            username=settings.user or None,
            password=password or None,
            timeout=settings.timeout_s,
        )
        server.answer_s = settings.answer_s
        try:
            await self._connect(server, password)
            yield server
            # What it says to a farewell changes nothing.
            with suppress(aiosmtplib.SMTPException, OSError):
                await server.quit(timeout=GOODBYE_S)
        finally:
            server.close()

    async def _connect(self, server: aiosmtplib.SMTP, password: str) -> None:
        where = f"the mail server {self._settings.host}:{self._settings.server_port}"
        try:
            await server.connect()
        except aiosmtplib.SMTPAuthenticationError as error:
            # What the server said may repeat what it was given.
            raise WayClosed(
                f"{where} does not let {self._settings.user!r} in ({error.code})",
                hint="compare mail.user and the file of mail.password_file with the account",
            ) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            said = plain(str(error)) or type(error).__name__
            hint = "the next try comes by itself; hcs-mesh notices test ADDRESS tries at once"
            if "certificate" in said.lower():
                hint = "set mail.ca_file to the certificate that signed the server's"
            elif "STARTTLS" in said or "WRONG_VERSION" in said:
                hint = "set mail.security to what the server offers: starttls, tls or none"
            told = said.replace(password, "***") if password else said
            raise WayClosed(f"{where} cannot be used: {told}", hint=hint) from None

    async def _tls(self) -> ssl.SSLContext | None:
        if self._settings.security == "none":
            return None
        file = self._settings.ca_file
        try:
            return await asyncio.to_thread(ssl.create_default_context, cafile=file or None)
        except (OSError, ValueError) as error:
            raise WayClosed(
                f"mail.ca_file {file} holds no certificates: {error}", hint="name a file of certificates in PEM"
            ) from error

    async def _send(self, server: aiosmtplib.SMTP, address: str, mail: bytes) -> str:
        try:
            _, said = await server.sendmail(self._settings.sender, [address], mail)
        except NoticeInDoubt:
            raise
        except aiosmtplib.SMTPSenderRefused as error:
            raise WayClosed(
                f"the mail server refuses the sender {self._settings.sender} ({error.code} {plain(error.message)})",
                hint="set mail.sender to an address that this account may send from",
            ) from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            raise _refusal(refused.code, refused.message, f"the recipient {address}") from error
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error.code, error.message, "this mail") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NoticePutOff(
                f"the connection to the mail server broke: {plain(str(error)) or type(error).__name__}",
                hint="the next try comes by itself, and has the same Message-ID",
            ) from error
        return plain(said)

    def _attachment(self, delivery: Delivery) -> Attachment | None:
        path = delivery.notice.facts.certificate
        if not path:
            return None
        file = Path(path)
        limit = self._settings.attachment_mib << 20
        try:
            with file.open("rb") as opened:
                data = opened.read(limit + 1)
        except (OSError, ValueError) as error:
            return Attachment(name=file.name, why_not=getattr(error, "strerror", None) or str(error))
        if len(data) > limit:
            return Attachment(name=file.name, why_not=f"it is larger than {bytes_text(limit)}")
        return Attachment(name=file.name, data=data)


class _Server(aiosmtplib.SMTP):
    """A mail server that may take its time over a mail once it has it, as RFC 5321 (4.5.3.2.6) grants it."""

    answer_s = 0.0

    async def data(self, message: str | bytes, /, *, timeout: object = None) -> aiosmtplib.SMTPResponse:
        """Send a mail's content; the library would wait as short for this answer as for any.

        Raises:
            SMTPDataError: it is refused.
            SMTPServerDisconnected, SMTPTimeoutError: it was not sent.
            NoticeInDoubt: it was, and no answer came.
        """
        told = await self.execute_command(b"DATA")
        if told.code != GO_ON or self.protocol is None:
            raise aiosmtplib.SMTPDataError(told.code, told.message)
        content = message.encode("ascii") if isinstance(message, str) else message
        self.protocol.write(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
        try:
            answer = await self.protocol.read_response(timeout=self.answer_s)
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            raise NoticeInDoubt(
                f"the mail server had the whole mail and did not answer: {plain(str(error)) or type(error).__name__}",
                hint="it is sent once more at most, with the same Message-ID",
            ) from error
        if answer.code != TAKEN:
            raise aiosmtplib.SMTPDataError(answer.code, answer.message)
        return answer


def _refusal(code: int, said: str, what: str) -> NoticePutOff | NoticeRefused:
    told = f"the mail server refuses {what} ({code} {plain(said)})"
    if code >= FOR_GOOD:
        return NoticeRefused(told, hint="mend what it names, then hcs-mesh notices retry")
    return NoticePutOff(told, hint="the next try comes by itself")
