"""OME-TIFF: single files, sets of files that name each other, and sets with a companion (pure)."""

from __future__ import annotations

import io
from collections.abc import Iterable

from ..errors import MetadataError, NothingToImport, SourceUnreadable, UnreadableImage
from ..model import Missing, Plate
from ..wells import well_label
from .folder import Folder, TiffHead, is_settled, is_tiff, join, split, stem
from .ome_xml import Ome, OmeImage, TiffData, parse_ome, planes
from .plan import Fileset, LeftOut, Plan, planned_files, still_due
from .plane_table import PlaneTable

_NO_IMAGE = (
    "Import the TIFF files that it describes, or their folder. Pixels inside of XML are not read; --as-files stores it "
    "as it is."
)


def plan_ome_tiff(folder: Folder) -> Plan:
    """One fileset for each companion, and for each TIFF file or set of files with OME-XML of their own.

    Raises:
        NotYetComplete: a companion is not closed.
        MetadataError: a companion, or the OME-XML in a file, is damaged.
    """
    filesets: list[Fileset] = []
    left_out: list[LeftOut] = []
    pending: list[str] = []
    members: dict[str, list[str]] = {}
    claimed: set[str] = set()

    def take(path: str, ome: Ome) -> None:
        filesets.append(_fileset(folder, path, ome))
        pending.extend(_due(folder, path, ome))
        claimed.update(file.path for file in filesets[-1].files)

    for path in folder.files:
        if path.lower().endswith(".companion.ome"):
            take(path, read_ome(folder, path))
    for path in folder.files:
        if not is_tiff(path) or path in claimed:
            continue
        try:
            ome = read_ome(folder, path)
        except UnreadableImage as error:
            if ".ome." in path.lower():
                claimed.add(path)
                left_out.append(LeftOut(path, f"unreadable: {error}"))
            continue
        if ome.metadata_file:
            companion = join(split(path)[0], ome.metadata_file) or ome.metadata_file
            members.setdefault(companion, []).append(path)
        elif ome.images:
            take(path, ome)
    # Not before: what describes a set may be one of its TIFF files, or a companion of another name.
    for companion, paths in members.items():
        if companion in folder.files and companion not in claimed and not is_tiff(companion):
            take(companion, read_ome(folder, companion))
        alone = [path for path in paths if path not in claimed]
        is_there = companion in folder.files
        why = f"part of a set, and {companion} does not name it"
        why = why if is_there else f"part of a set whose companion {companion} is not there"
        left_out += [LeftOut(path, why) for path in alone]
        pending += _awaited(companion, len(alone)) if not is_there else ()
    return Plan(filesets=tuple(filesets), left_out=tuple(left_out), pending=tuple(pending))


def _awaited(companion: str, n: int) -> tuple[str, ...]:
    files = "1 file of its set waits" if n == 1 else f"{n} files of its set wait"
    return (f"{companion} is not there yet: {files}",) if n else ()


def read_ome(folder: Folder, path: str) -> Ome:
    """The OME-XML of a companion or inside a TIFF file; empty where the TIFF file has none.

    Raises:
        UnreadableImage: the TIFF file is damaged.
        MetadataError: the XML is.
    """
    if not is_tiff(path):
        with folder.stream(path) as stream:
            return parse_ome(stream, source=path)
    xml = folder.tiff(path).ome_xml
    return _by_its_present_name(folder, path, parse_ome(io.BytesIO(xml.encode()), source=path)) if xml else Ome((), ())


def _by_its_present_name(folder: Folder, path: str, ome: Ome) -> Ome:
    """The same where a TIFF file that was renamed still speaks of itself by its old name."""
    names = {data.file for image in ome.images for data in image.tiff_data if data.is_own} - {""}
    # Of several names one UUID says nothing: such a writer gave every file of a set the same.
    if len(names) != 1 or join(split(path)[0], *names) in folder.files:
        return ome

    def renamed(image: OmeImage) -> OmeImage:
        return image._replace(
            tiff_data=tuple(data._replace(file="") if data.is_own else data for data in image.tiff_data)
        )

    return ome._replace(images=tuple(renamed(image) for image in ome.images))


def refuse_ome_xml(folder: Folder, path: str) -> NothingToImport:
    """Why OME-XML on its own is no image, and which files it describes."""
    try:
        named = sorted(file for name in read_ome(folder, path).files if (file := join(split(path)[0], name)))
    except (MetadataError, SourceUnreadable) as error:
        # Damaged or not, it is none.
        return NothingToImport(f"{path} is OME-XML, which holds no image that is read here; {error}", hint=_NO_IMAGE)
    hint = _NO_IMAGE
    if named:
        there = [name for name in named if name in folder.files]
        hint = (
            f"It describes {len(named)} file{'s' if len(named) > 1 else ''}, for example {(there or named)[0]}. {hint}"
        )
    return NothingToImport(f"{path} is OME-XML, which describes images and holds none that are read here", hint=hint)


def set_of(folder: Folder, path: str) -> frozenset[str]:
    """The file with all that its OME-XML names, through the companion where it has one.

    Raises:
        UnreadableImage: the file is damaged.
        MetadataError: its XML is.
    """
    above = split(path)[0]
    names = {path}
    ome = read_ome(folder, path)
    companion = join(above, ome.metadata_file) if ome.metadata_file else None
    if companion is not None and companion in folder.files:
        names.add(companion)
        ome = read_ome(folder, companion)
    names |= {file for name in ome.files if (file := join(above, name)) is not None}
    return frozenset(names & set(folder.files))


def _due(folder: Folder, source: str, ome: Ome) -> tuple[str, ...]:
    above = split(source)[0]
    named = ome.files - {ome.metadata_file}
    return still_due(source, len(named), sum(is_settled(folder, join(above, name)) for name in named), what="file")


def _fileset(folder: Folder, source: str, ome: Ome) -> Fileset:
    above = split(source)[0]
    if not ome.images:
        raise MetadataError(f"{source} describes no image")
    by_id = {image.id: image for image in ome.images}
    named = (join(above, name) for name in ome.files)
    files = {source, *(file for file in named if file is not None and file in folder.files)}
    on_plates: set[str] = set()
    plates: list[Plate] = []
    for plate in ome.plates:
        wells = {well_label(*place): ids for place, ids in plate.wells.items()}
        found = [
            (well, field, by_id[image_id])
            for well, ids in wells.items()
            for field, image_id in enumerate(ids, 1)
            if image_id in by_id
        ]
        if not found:
            continue
        on_plates |= {image.id for _, _, image in found}
        table = PlaneTable(folder)
        for well, field, image in found:
            _claim(folder, table, source, image, well, field)
        widest = max((image for _, _, image in found), key=lambda image: image.n_c)
        plates.append(
            table.plate(
                name=plate.name or stem(source),
                n_rows=plate.n_rows,
                n_columns=plate.n_columns,
                channels=widest.channels,
                pixel_size_um=widest.pixel_size_um,
            )
        )
    alone = [image for image in ome.images if image.id not in on_plates]
    for number, image in enumerate(alone, 1):
        table = PlaneTable(folder)
        _claim(folder, table, source, image, "", 1)
        plates.append(
            table.plate(
                name=image.name or (stem(source) if len(alone) == 1 else f"{stem(source)} {number}"),
                kind="image",
                channels=image.channels,
                pixel_size_um=image.pixel_size_um,
            )
        )
    return Fileset(planner="ome-tiff", root=above, files=planned_files(folder, files), plates=tuple(plates))


def _claim(folder: Folder, table: PlaneTable, source: str, image: OmeImage, well: str, field: int) -> None:
    above = split(source)[0]
    head = TiffHead(width=image.width, height=image.height, dtype=image.dtype)
    held: set[tuple[int, int, int]] = set()
    absent: dict[tuple[int, int, int], str] = {}
    # Without a single TiffData the planes lie in the file itself, in the image's order (as Bio-Formats reads it).
    for data in image.tiff_data or (TiffData("", 0, None, 0, 0, 0),):
        file = join(above, data.file) if data.file else source
        if file is None or file not in folder.files or not is_tiff(file):
            file = None
        n_in_file = _n_pages(table, file)
        for ifd, c, z, t in planes(image, data, n_in_file):
            for sample in range(image.samples):
                place = (c + sample, z, t)
                if file is None or ifd >= n_in_file:
                    absent[place] = file or (join(above, data.file) or data.file if data.file else "")
                    continue
                held.add(place)
                page = ifd * image.samples + sample
                table.claim(well, file, field=field, c=c + sample, z=z, t=t, page=page, head=head)
    for c, z, t in _all(image):
        if (c, z, t) not in held:
            file_name = absent.get((c, z, t), "")
            table.miss(Missing(well=well, field=field, c=c, z=z, t=t, file=file_name))


def _n_pages(table: PlaneTable, file: str | None) -> int:
    head = None if file is None else table.head(file)
    return 0 if head is None else head.n_pages


def _all(image: OmeImage) -> Iterable[tuple[int, int, int]]:
    return ((c, z, t) for t in range(image.n_t) for z in range(image.n_z) for c in range(image.n_c))
