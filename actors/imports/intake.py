"""The intake of imports: who may hand over what, and what an order would do."""

from __future__ import annotations

import time

from ...messages.import_orders import check_order
from ...messages.imports import ImportOrder, ImportPreview, SubmitImport
from ...transport import Principal
from ...transport.messages import ROLES
from ..errors import KeyTaken, NoGroups, NotTheirs
from ..ownership import is_administrator
from .copying import kind_of
from .life import ImportLife
from .means import ImportMeans
from .notes import plan_notes
from .places import ImportPlaces
from .rate import TransferRates
from .readiness import manifest_digest
from .records import Accepted
from .source import ImportSource

PREVIEW = "preview"
"""What an import is called that is only asked about."""


class ImportIntake:
    """Looks at orders before they are accepted."""

    def __init__(
        self,
        means: ImportMeans,
        *,
        places: ImportPlaces,
        rates: TransferRates,
    ) -> None:
        self._means = means
        self._places = places
        self._rates = rates
        # With places of their own: what is looked at for hours keeps nobody from handing over.
        self._asks = places.looks(patient=False)

    def known(self, message: SubmitImport, asker: Principal) -> str | None:
        """The import that this asker has handed over under this key before, if any.

        Raises:
            NotTheirs: the asker may not hand over for somebody else.
            KeyTaken: what he handed over under it is another source, or for somebody else.
        """
        import_id = self._means.book.by_key(asker.name, message.key)
        found = self._means.book.find(import_id) if import_id is not None else None
        if found is None:
            # Nothing is known of an import that was forgotten but its key.
            return import_id
        status, order = found.status(), message.order
        asked = (order.agent, order.path, owner_of(message.on_behalf_of, asker))
        if asked != (status.order.agent, status.order.path, status.owner or asker.name):
            raise KeyTaken(
                f"the key {message.key!r} is that of {import_id}, which imports {status.source} for "
                f"{status.owner or asker.name}",
                hint="give every order a key of its own, and the same one only to ask for the same again",
            )
        return import_id

    async def accept(self, order: ImportOrder, key: str, on_behalf_of: str, asker: Principal) -> ImportLife:
        """Make an order the mesh's own: it is durable when this returns.

        Raises:
            NotTheirs: the asker may not hand over for somebody else, or not for this one.
            NoGroups: it is to be for a group, and there is no OMERO.
            NotAllowed, NoSuchSource, SourceUnreadable: the order names what the asker may not or cannot read.
            SourceSilent: its disk does not answer.
            BadOrder, PatternError, NoAddress: the order cannot be meant as it is.
        """
        means = self._means
        check_order(order)
        owner = owner_of(on_behalf_of, asker)
        await self._check(order, asker, owner)
        # Before it is waited for: meanwhile another one may come under that name.
        workstation = self._places.workstation_of(order)
        await self._places.look_elsewhere(order)
        import_id = means.book.new_id()
        await means.ledger.write(
            Accepted(
                import_id=import_id,
                at_unix_s=time.time(),
                key=key,
                order=order,
                owner=owner,
                by=asker.name,
                administrator=is_administrator(asker),
                workstation=workstation,
            )
        )
        return means.book.lives[import_id]

    async def _check(self, order: ImportOrder, asker: Principal, owner: str) -> None:
        if order.group and self._means.repository.kind == "local":
            raise NoGroups(
                f"the plates are to be for the group {order.group}, and there are no groups without OMERO",
                hint="leave the group out",
            )

        def check() -> None:
            self._places.check(order, asker, owner)

        await (self._means.threads.run(check) if order.agent else self._asks.run(order.path, check))

    async def preview(self, order: ImportOrder, on_behalf_of: str, asker: Principal) -> ImportPreview:
        """What an order would do.

        Raises:
            NotTheirs: the asker may not hand over for somebody else, or not for this one.
            NoGroups: it is to be for a group, and there is no OMERO.
            NotAllowed, NoSuchSource, SourceUnreadable: the order names what the asker may not or cannot read.
            BadOrder, PatternError, NoAddress: the order cannot be meant as it is.
            MeshError: nothing could be imported, and why.
        """
        means = self._means
        check_order(order)
        owner = owner_of(on_behalf_of, asker)
        await self._check(order, asker, owner)
        await self._places.look_elsewhere(order)
        life = ImportLife(
            Accepted(
                import_id=PREVIEW,
                at_unix_s=time.time(),
                key="",
                order=order,
                owner=owner,
                administrator=is_administrator(asker),
            )
        )
        source: ImportSource = means.open_source(life)
        plan = await source.plan(lambda reason: None)
        files = await source.manifest(plan)
        return ImportPreview(
            plan=plan,
            notes=plan_notes(plan),
            pending=plan.pending,
            same_as=means.book.same_as(manifest_digest(files)) or "",
            estimated_s=self._rates.estimated_s(kind_of(order), n_files=plan.n_files, n_bytes=plan.n_bytes),
        )


def owner_of(on_behalf_of: str, asker: Principal) -> str:
    """Whose an import is: the asker's, or another's if the asker's key may act for others.

    Raises:
        NotTheirs: it may not.
    """
    if not on_behalf_of or on_behalf_of == asker.name:
        return asker.name
    if ROLES.index(asker.role) < ROLES.index("agent"):
        raise NotTheirs(
            f"{asker.name} ({asker.role}) may not import for {on_behalf_of}",
            hint="only keys of agents and administrators hand over for others: hcs-mesh keys allow NAME --role agent",
        )
    return on_behalf_of
