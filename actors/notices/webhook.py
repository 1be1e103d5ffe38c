"""The way out to a webhook: a notice as JSON by HTTP POST, signed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable

import httpx
import msgspec

from ...config import WebhookSettings
from ...config.secret_file import read_secret
from ...config.written_out import plain
from .errors import NoticePutOff, NoticeRefused, WayClosed
from .mail_text import identity
from .outbox import Delivery

MAY_PASS = frozenset({408, 425, 429})
"""Codes that mean "not now" though they blame the caller; all from 500 on do."""

SIGNATURE = "X-Hcs-Mesh-Signature"
EVENT = "X-Hcs-Mesh-Event"
IDEMPOTENCY_KEY = "Idempotency-Key"


class WebhookWay:
    """Hands notices to one hook, which knows a second copy by its idempotency key."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings

    async def deliver(self, delivery: Delivery, taken: Callable[[], Awaitable[None]]) -> None:
        """Hand one notice over; ``taken`` is called as soon as the hook has it.

        Raises:
            WayClosed: the hook cannot be reached.
            NoticePutOff, NoticeRefused: it does not take this notice, now or for good.
        """
        settings = self._settings
        content = body(delivery)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "hcs-mesh",
            EVENT: delivery.notice.kind,
            IDEMPOTENCY_KEY: identity(delivery.notice.key, delivery.posted_unix_s),
        }
        if settings.secret_file:
            secret = await asyncio.to_thread(
                read_secret, settings.secret_file, of="webhook.secret_file", error=WayClosed
            )
            headers[SIGNATURE] = signature(secret, content)
        try:
            # One limit for everything: a hook that answers a byte a minute is as good as none.
            async with asyncio.timeout(settings.timeout_s), httpx.AsyncClient(timeout=None) as client:  # noqa: S113
                answer = await client.post(settings.url, content=content, headers=headers)
        except (httpx.ConnectError, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
            raise WayClosed(
                f"the webhook {settings.label} cannot be reached: {plain(str(error)) or type(error).__name__}",
                hint="the next try comes by itself",
            ) from None
        except TimeoutError:
            raise NoticePutOff(
                f"the webhook {settings.label} did not answer within {settings.timeout_s:g} s",
                hint="the next try comes by itself; webhook.timeout_s gives it longer",
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Not chained: an error of this library may hold the address, and that a secret.
            raise NoticePutOff(
                f"the connection to the webhook {settings.label} broke: {type(error).__name__}",
                hint="the next try comes by itself, and has the same idempotency key",
            ) from None
        if answer.status_code in MAY_PASS or answer.status_code >= 500:
            raise NoticePutOff(
                f"the webhook {settings.label} answered {answer.status_code}", hint="the next try comes by itself"
            )
        if not answer.is_success:
            raise NoticeRefused(
                f"the webhook {settings.label} answered {answer.status_code}",
                hint="mend the hook or webhook.url, then hcs-mesh notices retry",
            )
        await taken()


def body(delivery: Delivery) -> bytes:
    """A notice as JSON, the same each time."""
    notice = delivery.notice
    facts = msgspec.structs.asdict(notice.facts)
    told = {"notice": delivery.notice_id, "event": notice.kind, "at_unix_s": delivery.posted_unix_s, **facts}
    return msgspec.json.encode(told)


def signature(secret: str, content: bytes) -> str:
    """What proves that a body comes from who knows the secret, as GitHub and others write it."""
    return f"sha256={hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()}"
