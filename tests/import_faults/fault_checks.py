"""What must hold after a schedule, looked at from outside: the journals, the catalogue, the files, the certificates."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fault_source import FaultSource, sha1
from fault_way_checks import Records, deletion_told, handed_over, is_refusal, linked_files
from fault_ways import IN_PLACE

from hcs_mesh.actors.notices.mail_text import identity, message_id
from hcs_mesh.config import MeshError
from hcs_mesh.plates.certificate import SignedCertificate
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.local.certificate_shelf import load
from hcs_mesh.plates.local.certifying import verify_certificate
from hcs_mesh.plates.local.signing import check_signature, load_public_key
from hcs_mesh.supervisors.journal import check, show

if TYPE_CHECKING:
    from fault_director import Play


def violations(play: Play) -> list[str]:
    """Everything that is not as it must be."""
    data = Path(play.going.data)
    held = any(end.startswith("failed") for end in play.outcome.ends.values())
    journals = sorted((data / "journal").iterdir())
    told = [f"the journal of {one.name} is damaged" for one in journals if check(one)["state"] == "damaged"]
    by_import: dict[str, Records] = {}
    for entry in show(data / "journal" / "imports"):
        by_import.setdefault(entry["record"]["import_id"], []).append({"tag": entry["tag"], **entry["record"]})
    told += handed_over(play, by_import)
    told += _notices(play, by_import)
    with sqlite3.connect(f"file:{data / 'repository' / 'catalogue.sqlite'}?mode=ro", uri=True) as catalogue:
        registered = _catalogue(catalogue)
    catalogue.close()
    digests: Counter[str] = Counter()
    done: set[str] = set()
    for import_id, records in by_import.items():
        tags = Counter(one["tag"] for one in records)
        state = play.outcome.ends.get(import_id, "")
        if state.startswith("done"):
            done.add(import_id)
            digests.update([one["digest"] for one in records if one["tag"] == "import.settled"][-1:])
            if not tags["import.settled"]:
                told.append(f"{import_id} is done, and never settled")
            told += _done(import_id, tags, registered.get(import_id))
            told += deletion_told(play, import_id, records)
        elif not state.startswith("failed: ") or len(state) < len("failed: ") + 5:
            told.append(f"{import_id} is neither done nor failed with a reason: {state!r}")
        elif not play.may_fail and not is_refusal(play, state):
            told.append(f"{import_id} failed over nothing that an import may fail over: {state}")
        if import_id in play.world.held_folders() and state.startswith("done"):
            told.append(f"{import_id} is done, and its source is held still: {play.world.held()}")
    told += [f"{n} imports of the same files are done" for n in digests.values() if n > 1]
    told += [f"{one} has plates, and no journal knows it" for one in registered.keys() - by_import.keys()]
    told += [f"{one} is held, and no journal knows it" for one in play.world.held_folders() - by_import.keys()]
    repository = LocalRepository(data, read_only=True)
    try:
        told += _certificates(play, data, repository, done, registered)
        for import_id in sorted(done & registered.keys()):
            told += _stored(play, repository.files_folder(import_id), import_id, registered[import_id])
    finally:
        repository.close()
    # Whether it may be deleted at all is looked at while it is; here, that nothing of it is lost.
    deleted = done & registered.keys() if play.plan.deletes else ()
    may_be_gone = {checksum for import_id in deleted for checksum in registered[import_id].files.values()}
    for source in play.world.sources.values():
        told += [f"the source: {one}" for one in source.changed(held=held, may_be_gone=may_be_gone)]
    return told


def _stored(play: Play, folder: Path, import_id: str, registered: Registered) -> Iterator[str]:
    source = play.world.sources.get(registered.source)
    if source is None:
        yield f"{import_id} is of {registered.source}, where there is no plate"
        return
    look = linked_files if play.plan.way == IN_PLACE else _files
    yield from look(play, source, folder, import_id, registered.files)


def _done(import_id: str, tags: Counter[str], registered: Registered | None) -> Iterator[str]:
    if tags["import.finished"] != 1:
        yield f"{import_id} was finished {tags['import.finished']} times"
    if tags["import.certified"] != 1:
        yield f"{import_id} was certified {tags['import.certified']} times"
    if registered is None:
        yield f"{import_id} is done, and has no plates in the catalogue"
    elif registered.n_rows != 1 or registered.n_plates != 1:
        yield f"{import_id} is {registered.n_rows} times in the catalogue, with {registered.n_plates} plates"


class Registered:
    """What the catalogue has of one import."""

    def __init__(self) -> None:
        self.n_rows = 0
        self.n_plates = 0
        self.source = ""
        self.files: dict[str, str] = {}


def _catalogue(connection: sqlite3.Connection) -> dict[str, Registered]:
    found: dict[str, Registered] = {}
    for row, import_id, source in connection.execute("SELECT id, import_id, source FROM imports").fetchall():
        # A second registration of the same import could only have another name.
        one = found.setdefault(import_id, Registered())
        one.n_rows += 1
        one.source = source
        below = "SELECT {} JOIN filesets ON filesets.id = fileset WHERE import = ?"
        one.n_plates += connection.execute(below.format("count(*) FROM plates"), (row,)).fetchone()[0]
        one.files.update(connection.execute(below.format("path, checksum FROM files"), (row,)).fetchall())
    return found


def _files(play: Play, source: FaultSource, folder: Path, import_id: str, expected: dict[str, str]) -> Iterator[str]:
    there = {str(one.relative_to(folder)): one for one in folder.rglob("*") if one.is_file()}
    if there.keys() != expected.keys():
        yield f"{import_id} has the files {sorted(there)} and should have {sorted(expected)}"
    for path, checksum in expected.items():
        if checksum not in source.versions.get(path, ()):
            yield f"{path} of {import_id} is no version that the source ever had"
        rotten = play.rotten.get((import_id, path))
        if path in there and not rotten_after_proof(rotten) and sha1(there[path].read_bytes()) != checksum:
            yield f"{path} of {import_id} has other bytes than the catalogue says"


def rotten_after_proof(rotten: bool | None) -> bool:
    """Whether a file was corrupted when nobody was to look at it any more."""
    return rotten is False


def _certificates(
    play: Play, data: Path, repository: LocalRepository, done: set[str], registered: dict[str, Registered]
) -> Iterator[str]:
    folder = data / "certificates"
    there = {one.name: one for one in folder.iterdir()} if folder.exists() else {}
    yield from (f"{name} was left behind" for name in there if not name.endswith(".json"))
    certified = {name.removesuffix(".json") for name in there if name.endswith(".json")}
    play.outcome.n_certified = len(certified)
    if play.plan.way == IN_PLACE:
        yield from (f"{one} is in place, and certified" for one in certified)
    else:
        for one in done - certified:
            if not _has_changed(play, registered.get(one)):
                yield f"{one} is done without a certificate"
    yield from (f"{one} is certified, and not registered" for one in certified - registered.keys())
    key = load_public_key(data / "keys")
    for import_id in certified & registered.keys():
        try:
            signed: SignedCertificate = load(there[f"{import_id}.json"])
            check_signature(signed, public_key=key)
        except MeshError as error:
            yield f"the certificate of {import_id}: {error}"
            continue
        files = {one.path: one.checksum for one in signed.certificate.files}
        if files != registered[import_id].files:
            yield f"{import_id} is certified for {files}, and registered with {registered[import_id].files}"
        there_then = play.certifying.get(import_id, {})
        for path, checksum in files.items():
            if there_then.get((registered[import_id].source, path), checksum) != checksum:
                yield f"{path} of {import_id} was another file at the source when it was certified"
        # A disk that loses a bit after the proof is found by whoever asks for the proof again, and by nobody before.
        late = {path for (of, path), early in play.rotten.items() if of == import_id and not early}
        differ = {one.path: one.reason for one in verify_certificate(signed.certificate, repository).differences}
        for path in differ.keys() - late:
            yield f"{path} of {import_id} is certified, and {differ[path]}"


def _has_changed(play: Play, registered: Registered | None) -> bool:
    """Whether the source of an import holds other bytes by now than it was imported with."""
    source = play.world.sources.get(registered.source) if registered is not None else None
    if registered is None or source is None:
        return False
    return any(sha1(source.contents.get(path, b"")) != checksum for path, checksum in registered.files.items())


def _notices(play: Play, by_import: dict[str, Records]) -> Iterator[str]:
    """Each end is told once, to those whom it concerns; which mails that are is left for who has the mails."""
    expected: dict[str, int] = {}
    for import_id, records in by_import.items():
        n_failed = sum(one["tag"] == "import.failed" for one in records)
        expected |= {f"{import_id}/failed/{n}": 2 for n in range(1, n_failed + 1)}
        if play.outcome.ends.get(import_id, "").startswith("done"):
            expected[f"{import_id}/done"] = 1
    posted: Counter[str] = Counter()
    for entry in show(Path(play.going.data) / "journal" / "notices"):
        if entry["tag"] != "notice.posted":
            continue
        record = entry["record"]
        key = record["notice"]["key"]
        posted[key] += 1
        known_by = message_id(identity(key, record["at_unix_s"]), "mesh@example.org")
        addresses = [one.partition(" ")[2] for one in record["to"]]
        play.outcome.mails += [(known_by, address) for address in addresses]
        if key.startswith("watch ") and play.may_fail:
            # Of what was refused, or came late.
            expected[key] = 2
        if len(addresses) != expected.get(key):
            yield f"the notice {key} goes to {addresses}"
    for key in expected.keys() | posted.keys():
        if posted[key] != (key in expected):
            yield f"the notice {key} was posted {posted[key]} times"
