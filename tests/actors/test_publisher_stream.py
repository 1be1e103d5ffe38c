"""One viewer's stream, without clock or sockets: order, credit, superseding, and what it follows."""

from hypothesis import given
from hypothesis import strategies as st

from hcs_mesh.actors.viewing.viewer_stream import ViewerStream
from hcs_mesh.messages.frames import ContentsChanged, JobStateChanged, PlanesCommitted, WellStateChanged
from hcs_mesh.messages.metadata import PlatesStored
from hcs_mesh.messages.planes import PlaneAddress, PlaneHeader, PlaneRecord
from hcs_mesh.messages.streaming import Snapshot
from hcs_mesh.messages.viewing import Contents, Subject


def record(field: int, file: str = "") -> PlaneRecord:
    address = PlaneAddress(well="A01", field=field, channel="DNA")
    header = PlaneHeader(address=address, kind="image", height=2, width=2, dtype="uint8")
    return PlaneRecord(header=header, root="/plates", file=file or f"{field}.tif")


def committed(*fields: int, job: str = "j1", file: str = "") -> PlanesCommitted:
    return PlanesCommitted(plate_id=1, job=job, planes=tuple(record(field, file) for field in fields))


def running(job: str = "j1", n_credits: int = 2, subject: Subject | None = None) -> ViewerStream:
    stream = ViewerStream(subject or Subject(job=job), n_credits=n_credits)
    stream.adopt(Snapshot(contents=Contents(plate_id=1, job=job, job_state="running")), announce=False)
    stream.begin()
    return stream


def test_nothing_is_sent_before_the_viewer_is_ready() -> None:
    stream = ViewerStream(Subject(job="j1"), n_credits=2)
    stream.adopt(Snapshot(contents=Contents(), planes=(record(1),)), announce=False)
    assert not stream.may_load()
    stream.begin()
    assert stream.may_load()


def test_a_viewer_that_does_not_acknowledge_gets_no_more_than_its_credit() -> None:
    stream = running(n_credits=2)
    stream.take(committed(1, 2, 3))
    sequences = []
    while stream.may_load():
        stream.load()
        sequences.append(stream.sent())
    assert (sequences, stream.n_waiting, stream.n_unacknowledged) == ([1, 2], 1, 2)
    assert stream.taken(1)
    assert stream.may_load()


def test_an_acknowledgement_counts_once() -> None:
    stream = running()
    stream.take(committed(1))
    stream.load()
    sequence = stream.sent()
    assert stream.taken(sequence)
    assert not stream.taken(sequence)
    assert not stream.taken(99)


def test_newer_pixels_of_a_plane_that_waits_take_its_place_and_are_counted() -> None:
    stream = running()
    stream.take(committed(1, 2))
    stream.take(committed(1, file="newer.tif"))
    assert stream.load().record.file == "newer.tif"
    assert (stream.n_skipped, stream.n_waiting) == (1, 2)


def test_pixels_that_were_sent_are_not_sent_again() -> None:
    stream = running()
    stream.take(committed(1))
    stream.load()
    stream.sent()
    stream.take(committed(1))
    assert stream.n_waiting == 0
    stream.take(committed(1, file="newer.tif"))
    assert stream.n_waiting == 1


def test_a_fact_never_overtakes_the_planes_announced_before_it() -> None:
    stream = running()
    done = WellStateChanged(plate_id=1, job="j1", well="A01", state="done")
    stream.take(committed(1))
    stream.take(done)
    assert stream.next_fact() is None
    stream.load()
    assert stream.next_fact() is None
    stream.sent()
    assert stream.next_fact() == (2, done)


def test_what_happens_while_the_snapshot_is_looked_up_comes_after_it() -> None:
    stream = ViewerStream(Subject(job="j1"), n_credits=9)
    news = committed(7)
    assert stream.verdict(news) == "hold"
    stream.take(news)
    stream.begin()
    held = stream.adopt(Snapshot(contents=Contents(plate_id=1, job="j1"), planes=(record(1),)), announce=True)
    assert held == (news,)
    fact = stream.next_fact()
    assert fact is not None
    assert isinstance(fact[1], ContentsChanged)
    assert stream.load().record.header.address.field == 1


def test_a_stream_of_the_latest_goes_to_the_next_job_when_it_begins() -> None:
    stream = running(subject=Subject())
    assert stream.verdict(committed(1)) == "take"
    assert stream.verdict(committed(1, job="j2")) == "pass"
    assert stream.verdict(JobStateChanged(plate_id=2, job="j2", state="running")) == "switch"
    assert stream.verdict(PlatesStored(plate_ids=(3,))) == "pass"
    stream.take(JobStateChanged(plate_id=1, job="j1", state="done"))
    assert stream.verdict(PlatesStored(plate_ids=(3,))) == "switch"


def test_a_stream_of_one_job_or_plate_stays_with_it() -> None:
    assert running().verdict(JobStateChanged(plate_id=1, job="j2", state="running")) == "pass"
    of_plate = running(subject=Subject(plate_id=1))
    assert of_plate.verdict(committed(1, job="j2")) == "take"
    assert of_plate.verdict(PlatesStored(plate_ids=(3,))) == "pass"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("plane"), st.integers(1, 5)),
            st.tuples(st.just("fact"), st.integers(1, 5)),
            st.tuples(st.just("pump"), st.just(0)),
            st.tuples(st.just("taken"), st.integers(1, 30)),
        ),
        max_size=60,
    ),
    st.integers(1, 4),
)
def test_facts_are_all_told_in_order_sequences_have_no_gap_and_credit_holds(
    steps: list[tuple[str, int]], n_credits: int
) -> None:
    stream = running(n_credits=n_credits)
    told: list[int] = []
    sequences: list[int] = []
    n_facts = n_offered = 0

    def pump() -> None:
        while True:
            if (fact := stream.next_fact()) is not None:
                sequences.append(fact[0])
                assert isinstance(fact[1], WellStateChanged)
                told.append(fact[1].n_objects)
            elif stream.may_load():
                stream.load()
                sequences.append(stream.sent())
            else:
                return
            assert stream.n_unacknowledged <= n_credits

    for what, number in steps:
        if what == "plane":
            n_offered += 1
            stream.take(committed(number, file=f"{n_offered}.tif"))
        elif what == "fact":
            n_facts += 1
            stream.take(WellStateChanged(plate_id=1, job="j1", well="A01", state="done", n_objects=n_facts))
        elif what == "taken":
            stream.taken(number)
        else:
            pump()
    while stream.n_waiting or len(told) < n_facts:
        pump()
        for sequence in range(1, stream.n_sent + 1):
            stream.taken(sequence)
    assert told == list(range(1, n_facts + 1))
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) - len(told) + stream.n_skipped == n_offered
