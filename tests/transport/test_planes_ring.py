"""Planes from process to process through one mapped file."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hcs_mesh.transport.planes import (
    BadPlane,
    PlaneReader,
    PlaneRef,
    PlaneTooLarge,
    Ring,
    RingError,
    RingFull,
    StaleAcknowledgement,
    StaleFrame,
    files,
)

PLANE = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "planes"
    place.mkdir(mode=0o700)
    return place


def test_another_process_reads_what_was_put(folder):
    with Ring(folder, slot_bytes=PLANE.nbytes, n_slots=2) as ring:
        ref = ring.put(PLANE, ["viewer"])
        code = (
            "import sys, msgspec, pathlib; from hcs_mesh.transport.planes import PlaneReader, PlaneRef;"
            "ref = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=PlaneRef);"
            "reader = PlaneReader(pathlib.Path(sys.argv[1])); plane = reader.view(ref);"
            "print(int(plane.sum()), plane.dtype, plane.shape, plane.flags.writeable)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            input=msgspec.msgpack.encode(ref),
            capture_output=True,
            check=True,
        )
        assert ended.stdout.decode().strip() == f"{int(PLANE.sum())} uint16 (64, 48) False"


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i4", "<f4", "<f8", "?", "<c8"])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (7, 9), (2, 3, 4)])
def test_every_plain_dtype_and_shape_comes_back_as_it_was(folder, dtype, shape):
    plane = (np.arange(int(np.prod(shape))) % 2).reshape(shape).astype(dtype)
    with Ring(folder, slot_bytes=4096, n_slots=1) as ring, PlaneReader(folder) as reader:
        ref = msgspec.msgpack.decode(msgspec.msgpack.encode(ring.put(plane)), type=PlaneRef)
        out = np.empty(shape, dtype)
        reader.copy_into(ref, out)
        assert out.dtype == plane.dtype
        assert np.array_equal(out, plane)


def test_strided_planes_are_put_in_c_order(folder):
    with Ring(folder, slot_bytes=PLANE.nbytes, n_slots=1) as ring, PlaneReader(folder) as reader:
        assert np.array_equal(reader.view(ring.put(PLANE.T[::2])), PLANE.T[::2])


def test_a_plane_written_in_place_is_not_copied(folder):
    with Ring(folder, slot_bytes=PLANE.nbytes, n_slots=1) as ring, PlaneReader(folder) as reader:
        reservation = ring.reserve(PLANE.shape, PLANE.dtype)
        np.multiply(PLANE, 2, out=reservation.pixels)
        ref = reservation.fill(["viewer"])
        assert np.array_equal(reader.view(ref), PLANE * 2)
        with pytest.raises(ValueError, match="read-only"):
            reservation.pixels[0, 0] = 1


@pytest.mark.parametrize("advice", [files.MADV_COLLAPSE, 9999], ids=["huge pages", "none to be had"])
def test_planes_that_span_huge_pages_come_back_as_they_were(monkeypatch, advice):
    monkeypatch.setattr(files, "MADV_COLLAPSE", advice)
    planes = [np.random.default_rng(n).integers(0, 2**16, (1500, 1000), np.uint16) for n in range(3)]
    with Ring(slot_bytes=planes[0].nbytes, n_slots=3) as ring, PlaneReader() as reader:
        refs = [ring.put(plane) for plane in planes]
        for ref, plane in zip(refs, planes, strict=True):
            assert np.array_equal(reader.view(ref), plane)


def test_a_consumer_cannot_write(folder):
    with Ring(folder, slot_bytes=PLANE.nbytes, n_slots=1) as ring, PlaneReader(folder) as reader:
        plane = reader.view(ring.put(PLANE))
        with pytest.raises(ValueError, match="read-only"):
            plane[0, 0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            plane.flags.writeable = True


def test_a_slot_returns_when_the_producer_and_all_consumers_let_go(folder):
    with Ring(folder, slot_bytes=PLANE.nbytes, n_slots=1) as ring:
        ref = ring.put(PLANE, ["napari", "recorder"])
        ring.let_go(ref)
        ring.acknowledge(ref.slot, ref.generation, "napari")
        with pytest.raises(RingFull, match="all 1 slots"):
            ring.put(PLANE)
        assert ring.release_all("recorder") == 1
        ring.put(PLANE)
        with pytest.raises(StaleAcknowledgement):
            ring.acknowledge(ref.slot, ref.generation, "recorder")
        assert ring.statistics().n_full == 1


def test_a_reused_slot_is_stale_to_who_reads_its_earlier_plane(folder):
    with Ring(folder, slot_bytes=PLANE.nbytes, n_slots=1) as ring, PlaneReader(folder) as reader:
        ref = ring.put(PLANE)
        ring.let_go(ref)
        ring.put(PLANE)
        with pytest.raises(StaleFrame):
            reader.view(ref)
        with pytest.raises(StaleFrame):
            reader.copy_into(ref, np.empty_like(PLANE))


def test_a_slot_reused_during_the_copy_is_found_stale(folder, monkeypatch):
    with Ring(folder, slot_bytes=PLANE.nbytes, n_slots=1) as ring, PlaneReader(folder) as reader:
        ref = ring.put(PLANE)
        ring.let_go(ref)
        copy = np.copyto

        def overtaken(out: np.ndarray, plane: np.ndarray) -> None:
            copy(out, plane)
            monkeypatch.undo()
            ring.put(PLANE + 1)

        monkeypatch.setattr(np, "copyto", overtaken)
        with pytest.raises(StaleFrame):
            reader.copy_into(ref, np.empty_like(PLANE))


def test_a_plane_larger_than_a_slot_names_the_setting_to_raise(folder):
    with Ring(folder, slot_bytes=100, n_slots=1) as ring, pytest.raises(PlaneTooLarge) as caught:
        ring.put(PLANE)
    assert str(PLANE.nbytes) in str(caught.value)
    assert "slot_bytes" in caught.value.hint


def test_objects_never_travel_as_planes(folder):
    with Ring(folder, slot_bytes=4096, n_slots=1) as ring, PlaneReader(folder) as reader:
        with pytest.raises(BadPlane):
            ring.put(np.array([object()]))
        ref = ring.put(PLANE[:2])
        for forged in (
            msgspec.structs.replace(ref, dtype="O", n_bytes=PLANE[:2].size * 8),
            msgspec.structs.replace(ref, offset=ref.offset + 4096),
            msgspec.structs.replace(ref, slot=5),
            msgspec.structs.replace(ref, shape=(1 << 40, 2)),
            msgspec.structs.replace(ref, shape=(1,) * 70 + PLANE[:2].shape),
            msgspec.structs.replace(ref, shape=(0, 1 << 63), n_bytes=0),
            msgspec.structs.replace(ref, ring="/etc/passwd"),
            msgspec.structs.replace(ref, ring=str(folder / ".." / "x.planes")),
        ):
            with pytest.raises(BadPlane):
                reader.view(forged)


def test_a_ring_that_does_not_fit_says_how_much_is_there(folder):
    with pytest.raises(RingError, match=r"a ring of \d+ MiB does not fit .*: \d+ MiB are free"):
        Ring(folder, slot_bytes=1 << 45, n_slots=4)
    assert not list(folder.glob("*.planes"))


def test_a_ring_takes_all_its_memory_at_the_start(folder):
    with Ring(folder, slot_bytes=1 << 20, n_slots=4) as ring:
        assert ring.path.stat().st_blocks * 512 >= 4 << 20


def test_closing_removes_the_file_and_leaves_views_readable(folder):
    ring = Ring(folder, slot_bytes=PLANE.nbytes, n_slots=1)
    reader = PlaneReader(folder)
    plane = reader.view(ring.put(PLANE))
    ring.close()
    assert not ring.path.exists()
    reader.close()
    assert np.array_equal(plane, PLANE)


def test_what_a_killed_owner_left_is_swept_and_a_living_owner_is_not(folder):
    code = (
        "import sys, pathlib, time; from hcs_mesh.transport.planes import Ring;"
        "ring = Ring(pathlib.Path(sys.argv[1]), slot_bytes=4096, n_slots=1); print(ring.path, flush=True);"
        "sys.stdin.read()"
    )
    with Ring(folder, slot_bytes=4096, n_slots=1) as living:
        owner = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with owner:
            assert owner.stdout is not None
            left = Path(owner.stdout.readline().strip())
            owner.send_signal(signal.SIGKILL)
        assert left.exists()
        with Ring(folder, slot_bytes=4096, n_slots=1) as ring:
            assert ring.statistics().n_swept == 1
            assert living.path.exists()
            assert not left.exists()


def test_a_folder_that_others_can_write_is_refused(folder):
    folder.chmod(0o777)
    with pytest.raises(RingError, match="can be written by others"):
        Ring(folder, slot_bytes=4096, n_slots=1)
