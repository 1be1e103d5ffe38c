"""Images that Bio-Formats reads: which files and plates they are, and their planes."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import NotForReader, UnreadableImage
from .java_machine import bioformats_in_use, loci, told_as_unreadable
from .linked_container import as_imported
from .model import Image, Plate, PlateKind, build_plate
from .opening import check_opens_for
from .planners.folder import Folder, split, stem
from .planners.ome_xml import OmeImage, parse_ome
from .planners.plain_fileset import containers, plan_containers, with_companions
from .planners.plan import Fileset, LeftOut, Plan, PlannedFile
from .planners.recognition import Planner
from .reach import EVERYTHING, Reach
from .stored_image import is_linked
from .tiff_failures import COPY_AGAIN, FOR_THAT_PERSON
from .wells import well_label, well_order

_READERS_KEPT = 2
"""Opening one takes seconds where files are large; each keeps its metadata in the Java heap."""
_DTYPES = {"float": "float32", "double": "float64", "bit": "uint8"}


class Series(NamedTuple):
    """One image of a file; its planes are numbered from ``first_page``, the samples of one pixel in turn."""

    number: int
    first_page: int
    width: int
    height: int
    n_z: int
    n_c: int
    n_t: int
    n_samples: int
    n_planes: int
    dtype: str
    is_thumbnail: bool


def container_planner(root: Path, reach: Reach = EVERYTHING) -> Planner:
    """What plans microscopes' containers below a folder: Bio-Formats where this process has it.

    Bio-Formats opens files by itself, by name: of a container that had it open one beyond ``reach``, nothing is told.
    """
    if not bioformats_in_use():
        return plan_containers
    return lambda folder: _plan(folder, root.resolve(), reach)


def read_bioformats_plane(
    root: Path, file: str, page: int, *, max_bytes: int, follow_links: bool = False
) -> NDArray[Any]:
    """One plane (Y, X) of a container, by its number over all the series of the file.

    Raises:
        NoLongerAsImported: the file was imported in place, and is another one by now, or has changed.
        UnreadableImage: the file is absent or damaged, or has no such plane.
        ReaderUnavailable: this process has no Bio-Formats.
    """
    linked = not follow_links and is_linked(root, file)
    with (
        as_imported(root, (file,) if linked else ()),
        _opened(root / file, file) as (reader, all_series),
        as_imported(root, tuple(map(str, reader.getUsedFiles())) if linked else ()),
    ):
        for series in all_series:
            index, sample = divmod(page - series.first_page, series.n_samples)
            if 0 <= index < series.n_planes:
                reader.setSeries(series.number)
                return _plane(reader, series, index, sample, file, max_bytes)
    raise UnreadableImage(f"{file} holds no plane {page}", hint=COPY_AGAIN)


def _plane(reader: Any, series: Series, index: int, sample: int, file: str, max_bytes: int) -> NDArray[Any]:
    dtype = np.dtype(series.dtype).newbyteorder("<" if reader.isLittleEndian() else ">")
    n_pixels = series.width * series.height * series.n_samples
    # A Java array counts to 2**31.
    if n_pixels * dtype.itemsize > min(max_bytes, 2**31 - 1):
        raise UnreadableImage(f"{file} has planes of {n_pixels * dtype.itemsize / 2**30:.1f} GiB, which are not read")
    pixels: NDArray[Any] = np.frombuffer(bytes(reader.openBytes(index)), dtype)
    if pixels.size != n_pixels:
        raise UnreadableImage(f"{file} holds {pixels.size} of {n_pixels} values in plane {index}", hint=COPY_AGAIN)
    if reader.isInterleaved():
        pixels = np.moveaxis(pixels.reshape(series.height, series.width, series.n_samples), -1, 0)
    plane: NDArray[Any] = pixels.reshape(series.n_samples, series.height, series.width)[sample]
    return plane


def _plan(folder: Folder, root: Path, reach: Reach) -> Plan:
    filesets: list[Fileset] = []
    left_out: list[LeftOut] = []
    claimed: set[str] = set()
    failure: UnreadableImage | None = None
    for path in containers(folder):
        if path in claimed:
            # Bio-Formats found that it is part of one before.
            continue
        try:
            filesets.append(_fileset(folder, root, path, reach))
        except UnreadableImage as error:
            failure = failure or error
            left_out.append(LeftOut(path, f"unreadable: {error}"))
            continue
        claimed |= {file.path for file in filesets[-1].files}
    if failure is not None and not filesets:
        raise UnreadableImage(str(failure), hint=f"{failure.hint} --as-files stores it as it is.")
    return Plan(filesets=tuple(filesets), left_out=tuple(left_out))


def _fileset(folder: Folder, root: Path, path: str, reach: Reach) -> Fileset:
    package = loci()
    _check(reach, path, (root / path,))
    with told_as_unreadable(path):
        service = package.common.services.ServiceFactory().getInstance(package.formats.services.OMEXMLService)
        store = service.createOMEXMLMetadata()
        reader = package.formats.ImageReader()
        try:
            reader.setFlattenedResolutions(False)
            reader.setMetadataStore(store)
            reader.setId(str(root / path))
            all_series = tuple(_all_series(reader))
            plates = _plates(reader, all_series, str(service.getOMEXML(store)), path)
            used = [Path(str(name)) for name in reader.getUsedFiles()]
        finally:
            reader.close()
    _check(reach, path, used)
    files = {file: folder.files[file] for file in with_companions(folder, path)}
    outside: list[str] = []
    for name in used:
        try:
            real = name.resolve(strict=True)
            relative = real.relative_to(root).as_posix()
            files[relative] = real.stat().st_size
        except (OSError, ValueError):
            outside.append(str(name))
    notes = (f"{len(outside)} files that it needs lie elsewhere, the first {outside[0]}",) if outside else ()
    return Fileset(
        planner="bio-formats",
        root=split(path)[0],
        files=tuple(PlannedFile(file, files[file]) for file in sorted(files)),
        plates=plates,
        notes=notes,
    )


def _check(reach: Reach, path: str, used: Iterable[Path]) -> None:
    """Refuse a container with one file that may not be opened for who asks.

    Raises:
        UnreadableImage: there is one.
    """
    for name in used:
        try:
            check_opens_for(reach, name)
        except NotForReader as error:
            raise UnreadableImage(
                f"{path} cannot be read: it takes {name.name}, and {error.strerror}", hint=FOR_THAT_PERSON
            ) from error
        except OSError:
            # What is not there is told of as of any file that it needs.
            continue


def _plates(reader: Any, all_series: tuple[Series, ...], xml: str, path: str) -> tuple[Plate, ...]:
    """The plates of the OME metadata; a series that lies on none is an image of its own."""
    ome = parse_ome(io.BytesIO(xml.encode()), source=path)
    # Bio-Formats describes its series in their order.
    by_id = {image.id: (series, image) for series, image in zip(all_series, ome.images, strict=False)}
    plates: list[Plate] = []
    placed: set[int] = set()
    for plate in ome.plates:
        images: list[Image] = []
        described: list[OmeImage] = []
        wells = {well_label(*place): ids for place, ids in plate.wells.items()}
        for well in sorted(wells, key=well_order):
            for field, image_id in enumerate(wells[well], 1):
                if image_id in by_id:
                    series, image = by_id[image_id]
                    placed.add(series.number)
                    described.append(image)
                    images += _images(reader, series, path, well, field)
        if images:
            plates.append(_built(images, plate.name or stem(path), described, "plate", plate.n_rows, plate.n_columns))
    alone = [series for series in all_series if series.number not in placed and not series.is_thumbnail]
    for series in alone:
        named = ome.images[series.number : series.number + 1]
        title = named[0].name if named and named[0].name else stem(path)
        if len(alone) > 1 and title == stem(path):
            title = f"{title} {series.number + 1}"
        plates.append(_built(_images(reader, series, path, "", 1), title, named, "image", 0, 0))
    return tuple(plates)


def _built(images: Any, name: str, described: Any, kind: PlateKind, n_rows: int, n_columns: int) -> Plate:
    rows = list(images)
    n_channels = 1 + max((image.c for image in rows), default=-1)
    widest = max(described, key=lambda image: image.n_c, default=None)
    names = widest.channels if widest is not None else ()
    return build_plate(
        rows,
        id=0,
        name=name,
        kind=kind,
        n_rows=n_rows,
        n_columns=n_columns,
        channels=tuple(names[c] if c < len(names) else f"c{c}" for c in range(n_channels)),
        pixel_size_um=widest.pixel_size_um if widest is not None else None,
    )


def _images(reader: Any, series: Series, path: str, well: str, field: int) -> Iterator[Image]:
    reader.setSeries(series.number)
    for t in range(series.n_t):
        for c in range(series.n_c):
            for z in range(series.n_z):
                index = int(reader.getIndex(z, c // series.n_samples, t))
                page = series.first_page + index * series.n_samples + c % series.n_samples
                yield Image(well, field, c, z, t, "plane", path, page, series.height, series.width, series.dtype)


def _all_series(reader: Any) -> Iterator[Series]:
    first_page = 0
    for number in range(reader.getSeriesCount()):
        reader.setSeries(number)
        kind = str(loci().formats.FormatTools.getPixelTypeString(reader.getPixelType()))
        n_samples = max(1, int(reader.getRGBChannelCount()))
        series = Series(
            number,
            first_page,
            int(reader.getSizeX()),
            int(reader.getSizeY()),
            int(reader.getSizeZ()),
            int(reader.getEffectiveSizeC()) * n_samples,
            int(reader.getSizeT()),
            n_samples,
            int(reader.getImageCount()),
            _DTYPES.get(kind, kind),
            bool(reader.isThumbnailSeries()),
        )
        yield series
        first_page += series.n_planes * n_samples


_lock = threading.Lock()
_readers: OrderedDict[tuple[str, int, int, int], tuple[Any, tuple[Series, ...]]] = OrderedDict()


@contextmanager
def _opened(path: Path, file: str) -> Iterator[tuple[Any, tuple[Series, ...]]]:
    """A reader that is open on a file, and its series; one thread at a time has one."""
    loci()
    try:
        seen = path.stat()
    except OSError as error:
        raise UnreadableImage(
            f"{file} cannot be read: {error.strerror or error}", hint="Has it been moved or deleted?"
        ) from error
    key = (str(path), seen.st_ino, seen.st_size, seen.st_mtime_ns)
    with _lock, told_as_unreadable(file):
        if key in _readers:
            _readers.move_to_end(key)
        else:
            while len(_readers) >= _READERS_KEPT:
                _readers.popitem(last=False)[1][0].close()
            _readers[key] = _open(path)
        yield _readers[key]


def _open(path: Path) -> tuple[Any, tuple[Series, ...]]:
    reader = loci().formats.ImageReader()
    try:
        reader.setFlattenedResolutions(False)
        reader.setId(str(path))
        return reader, tuple(_all_series(reader))
    except BaseException:
        reader.close()
        raise
