"""What a run of bytes says about the records in it."""

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcs_mesh.supervisors.journal.framing import (
    MAGIC,
    SEGMENT_HEAD_BYTES,
    Ending,
    SegmentHead,
    SegmentKind,
    frame,
    frame_append,
    parse_segment_head,
    scan,
    segment_head,
)

HEAD = segment_head(SegmentHead(SegmentKind.LOG, 1))
records = st.tuples(st.binary(min_size=1, max_size=8), st.binary(max_size=40))
appends = st.lists(records, min_size=1, max_size=3)
groups = st.lists(st.lists(appends, min_size=1, max_size=3), min_size=1, max_size=4)


def segment_of(written: list[list[list[tuple[bytes, bytes]]]]) -> tuple[bytes, list[int], list[int]]:
    """Return the bytes of groups of appends, where each append ends, and where each group begins."""
    data, sequence, append_ends, group_starts = HEAD, 1, [], []
    for group in written:
        group_starts.append(len(data))
        index = 0
        for append in group:
            data += frame_append(append, sequence, index)
            sequence += len(append)
            index += len(append)
            append_ends.append(len(data))
    return data, append_ends, group_starts


def payloads(written: list[list[list[tuple[bytes, bytes]]]]) -> list[list[tuple[bytes, bytes]]]:
    return [append for group in written for append in group]


@given(groups, st.integers(0, 200))
def test_what_was_framed_is_found_again_and_zeros_behind_it_are_a_clean_end(written, n_zeros):
    data, ends, _ = segment_of(written)
    found = scan(data + bytes(n_zeros), 1)
    assert (found.ending, found.end) == (Ending.CLEAN, ends[-1])
    assert list(zip(found.tags, found.payloads, strict=True)) == list(chain(*payloads(written)))
    assert [at for at in found.offsets if data[at : at + 4] != MAGIC] == []


@settings(max_examples=60)
@given(groups, st.data(), st.booleans())
def test_a_segment_cut_at_any_byte_replays_a_prefix_of_whole_appends(written, data, zeros):
    whole, ends, _ = segment_of(written)
    cut = data.draw(st.integers(SEGMENT_HEAD_BYTES, len(whole)))
    found = scan(whole[:cut] + (bytes(len(whole) - cut) if zeros else b""), 1)
    # A cut within the zero bytes that end a record leaves it whole when zeros follow.
    n_whole = sum(end <= found.end for end in ends)
    assert n_whole >= sum(end <= cut for end in ends)
    assert list(zip(found.tags, found.payloads, strict=True)) == list(chain(*payloads(written)[:n_whole]))
    assert found.ending is (Ending.CLEAN if found.end >= len(whole[:cut].rstrip(b"\0")) else Ending.TORN)


@settings(max_examples=100)
@given(groups, st.data())
def test_any_flipped_byte_is_found_and_nothing_before_it_is_lost(written, data):
    whole, ends, group_starts = segment_of(written)
    at = data.draw(st.integers(SEGMENT_HEAD_BYTES, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    found = scan(bytes(flipped) + bytes(64), 1)
    n_before = sum(end <= at for end in ends)
    assert found.ending is not Ending.CLEAN
    assert list(zip(found.tags, found.payloads, strict=True)) == list(chain(*payloads(written)[:n_before]))
    if at < group_starts[-1]:
        # A later group was written only after this one was durable: it cannot have been torn.
        assert found.ending is Ending.DAMAGED


def test_an_unsynced_group_whose_first_page_never_reached_the_disk_is_torn_not_damaged():
    first = frame(1, 0, 0, b"a", b"durable")
    lost, landed = frame(2, 0, 0, b"a", b"lost page"), frame(3, 1, 0, b"a", b"later page")
    found = scan(HEAD + first + bytes(len(lost)) + landed + bytes(50), 1)
    assert (found.ending, found.next_sequence, found.end) == (Ending.TORN, 2, len(HEAD + first))


def test_a_record_of_a_later_group_behind_a_gap_is_damage_with_its_offset():
    first, second, third = (frame(n, 0, 0, b"a", b"payload") for n in (1, 2, 3))
    found = scan(HEAD + first + bytes(len(second)) + third, 1)
    assert (found.ending, found.offset) == (Ending.DAMAGED, len(HEAD + first))


def test_a_gap_in_the_sequence_is_damage():
    found = scan(HEAD + frame(1, 0, 0, b"a", b"") + frame(3, 0, 0, b"a", b""), 1)
    assert found.ending is Ending.DAMAGED
    assert "record 3 stands where record 2 belongs" in found.reason


@given(st.sampled_from(SegmentKind), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_segment_header_comes_back_as_it_was(kind, sequence, n_records):
    head = SegmentHead(kind, sequence, n_records)
    assert parse_segment_head(segment_head(head)) == head


@pytest.mark.parametrize("at", range(SEGMENT_HEAD_BYTES))
def test_any_flipped_byte_of_a_segment_header_is_found(at):
    data = bytearray(HEAD)
    data[at] ^= 0x10
    with pytest.raises(ValueError, match="checksum"):
        parse_segment_head(bytes(data))
