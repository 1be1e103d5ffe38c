"""The report: tables that come back unchanged, a page that opens without network, names that stay text."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hcs_mesh.viewers.heat_map import draw_heat_map, plate_shape, row_label, well_position
from hcs_mesh.viewers.report import (
    Measurement,
    Provenance,
    ReportJob,
    ReportWell,
    write_report,
)
from hcs_mesh.viewers.report_model import measurements_shown
from hcs_mesh.viewers.report_tables import UnequalColumns, objects_csv

EVIL = "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">&amp;$\\alpha"


def job(**changes: object) -> ReportJob:
    """A small job with one failed and one unfinished well."""
    known: dict[str, object] = {
        "job": "j-7",
        "plate": "Demo24",
        "n_rows": 4,
        "n_columns": 6,
        "wells": (
            ReportWell(well="A01", n_objects=28, measurements={"ratio": 0.1 + 0.2}, duration_s=0.5),
            ReportWell(well="B02", n_objects=27, measurements={"ratio": 7.5, "area": 410.25}),
            ReportWell(well="C03", state="failed", reason="field 2, w1: truncated, twice", attempts=3),
            ReportWell(well="D06", state="waiting"),
        ),
        "measurements": (Measurement(name="ratio", unit="nucleus / ring"),),
        "objects": {"well": ["A01", "B02"], "label": np.array([1, 2]), "area": np.array([1 / 3, np.nan])},
        "pipeline": "nuclei.py",
        "pipeline_source": "Pipeline(steps=[gaussian(sigma=1.0)])",
        "provenance": Provenance(versions={"numpy": "2.4"}, n_restarts=1, faults=("executor killed",)),
    }
    return ReportJob(**{**known, **changes})


def test_the_tables_come_back_as_they_were(tmp_path: Path) -> None:
    files = write_report(job(), tmp_path)
    wells = list(csv.DictReader(io.StringIO(files.wells.read_text(), newline="")))
    assert [one["well"] for one in wells] == ["A01", "B02", "C03", "D06"]
    assert float(wells[0]["ratio"]) == 0.1 + 0.2
    assert wells[0]["n_objects"] == "28"
    assert wells[0]["area"] == ""
    assert float(wells[1]["area"]) == 410.25
    assert (wells[2]["state"], wells[2]["reason"]) == ("failed", "field 2, w1: truncated, twice")
    objects = list(csv.DictReader(io.StringIO(files.objects.read_text(), newline="")))
    assert [(one["well"], int(one["label"])) for one in objects] == [("A01", 1), ("B02", 2)]
    assert float(objects[0]["area"]) == 1 / 3
    assert np.isnan(float(objects[1]["area"]))
    assert files.objects.read_bytes().count(b"\r\n") == 3


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.floats()),
        max_size=5,
    )
)
def test_any_text_and_any_float_survive_the_object_table(rows: list[tuple[str, float]]) -> None:
    columns = {"name": [name for name, _ in rows], "value": [value for _, value in rows]}
    read = list(csv.reader(io.StringIO(objects_csv(job(objects=columns)), newline="")))
    assert read[0] == ["name", "value"]
    assert [(name, repr(float(value))) for name, value in read[1:]] == [(name, repr(value)) for name, value in rows]


def test_columns_of_unequal_length_are_refused_by_name_and_nothing_half_is_left(tmp_path: Path) -> None:
    with pytest.raises(UnequalColumns, match=r"label 2, area 1"):
        write_report(job(objects={"label": [1, 2], "area": [1.0]}), tmp_path)
    assert not (tmp_path / "report.html").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_a_second_report_replaces_the_first_and_leaves_only_whole_files(tmp_path: Path) -> None:
    first = write_report(job(), tmp_path)
    second = write_report(job(plate="Another"), tmp_path)
    assert first == second
    assert "Another" in second.page.read_text()
    assert "Demo24" not in second.page.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "heatmap_area.png",
        "heatmap_n_objects.png",
        "heatmap_ratio.png",
        "objects.csv",
        "report.html",
        "wells.csv",
    ]


def test_measurements_are_counted_first_then_declared_then_found() -> None:
    assert [one.name for one in measurements_shown(job())] == ["n_objects", "ratio", "area"]
    assert measurements_shown(job())[1].unit == "nucleus / ring"


def test_two_names_that_clean_up_alike_get_two_heat_maps(tmp_path: Path) -> None:
    wells = (ReportWell(well="A01", measurements={"a/b": 1.0, "a b": 2.0, "../../x": 3.0, "°": 4.0}),)
    files = write_report(job(wells=wells, measurements=()), tmp_path)
    assert len({path.name for path in files.heat_maps}) == 5
    assert all(path.parent == tmp_path and path.exists() for path in files.heat_maps)


@pytest.mark.parametrize(
    ("wells", "shape"),
    [
        (["A01"], (2, 3)),
        (["D06"], (4, 6)),
        (["H12"], (8, 12)),
        (["P24"], (16, 24)),
        (["AF48"], (32, 48)),
        (["A01", "AG01"], (33, 1)),
        ([""], None),
    ],
)
def test_an_undeclared_plate_is_the_smallest_standard_one_that_fits(
    wells: list[str], shape: tuple[int, int] | None
) -> None:
    known = job(n_rows=0, n_columns=0, wells=tuple(ReportWell(well=well, n_objects=1) for well in wells))
    assert plate_shape(known) == shape
    picture = draw_heat_map(known, Measurement(name="n_objects"))
    assert picture.startswith(b"\x89PNG") if shape else picture == b""


@given(st.integers(0, 47), st.integers(0, 98))
def test_rows_and_columns_survive_their_labels(row: int, column: int) -> None:
    assert well_position(f"{row_label(row)}{column + 1:02d}") == (row, column)


def test_failed_wells_are_marked_and_a_higher_value_is_another_colour(tmp_path: Path) -> None:
    wells = [ReportWell(well="A01", n_objects=1), ReportWell(well="A06", n_objects=9)]
    calm = draw_heat_map(job(wells=tuple(wells)), Measurement(name="n_objects"))
    failed = ReportWell(well="B02", state="failed")
    struck = draw_heat_map(job(wells=(*wells, failed)), Measurement(name="n_objects"))

    def reds(picture: bytes) -> int:
        pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
        return int(((pixels[..., 0] > 180) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)).sum())

    assert reds(calm) == 0
    assert reds(struck) > 100
    pixels = np.asarray(Image.open(io.BytesIO(calm)).convert("RGB")).reshape(-1, 3).astype(int)
    for end_of_the_scale in ((68, 1, 84), (253, 231, 37)):
        assert (abs(pixels - end_of_the_scale).max(axis=1) <= 1).sum() > 1000


class Links(HTMLParser):
    """Collects what a browser would fetch, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one tag."""
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def evil_job() -> ReportJob:
    """A job whose every text tries to break out."""
    return job(
        job=EVIL,
        plate=EVIL,
        state=EVIL,
        pipeline=EVIL,
        pipeline_source=EVIL + "</pre></script><script>document.title='owned'</script>",
        wells=(
            ReportWell(well="A01", n_objects=3, measurements={EVIL: 1.0}, reason=EVIL, attempts=2),
            ReportWell(well=EVIL, state=EVIL),
        ),
        measurements=(Measurement(name=EVIL, unit=EVIL, meaning=EVIL),),
        objects={EVIL: [EVIL]},
        provenance=Provenance(versions={EVIL: EVIL}, started=EVIL, faults=(EVIL,)),
        notes=(EVIL,),
    )


def test_the_page_fetches_nothing_and_names_stay_text(tmp_path: Path) -> None:
    files = write_report(evil_job(), tmp_path)
    page = Links()
    page.feed(files.page.read_text())
    assert page.tags.count("script") == 1
    assert all(one.startswith("data:image/png;base64,") for one in page.fetched)
    assert not re.search(r"url\(|@import|https?:", files.page.read_text().split("<body>")[0])


@pytest.fixture(scope="module")
def chromium() -> str:
    """A browser, which these tests cannot do without."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.fail("no Chromium here; install it with: apt-get install chromium")
    return found


def opened(chromium: str, page: Path, profile: Path) -> str:
    """The document as a browser without network has it after running the page's script."""
    done = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--proxy-server=127.0.0.1:1",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=2000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_a_browser_without_network_shows_the_page(chromium: str, tmp_path: Path) -> None:
    files = write_report(job(), tmp_path / "report")
    shown = opened(chromium, files.page, tmp_path / "profile")
    assert "<h1>Demo24" in shown
    assert shown.count("<img") == 3
    assert "truncated, twice" in shown
    assert "gaussian(sigma=1.0)" in shown


def test_a_browser_runs_no_script_that_a_name_smuggled_in(chromium: str, tmp_path: Path) -> None:
    files = write_report(evil_job(), tmp_path / "report")
    shown = opened(chromium, files.page, tmp_path / "profile")
    assert "owned</title>" not in shown
    assert "&lt;script&gt;document.title=" in shown


def test_a_click_on_a_heading_sorts_the_wells(chromium: str, tmp_path: Path) -> None:
    files = write_report(job(), tmp_path / "report")
    # The page's policy lets no foreign script in, so the click is written into a copy without the policy.
    page = re.sub(r"<meta http-equiv[^>]*>", "", files.page.read_text())
    click = "<script>document.querySelectorAll('thead th button')[2].click()</script></body>"
    copy = tmp_path / "clicked.html"
    copy.write_text(page.replace("</body>", click))
    shown = opened(chromium, copy, tmp_path / "profile")
    order = re.findall(r"<td><b>(\w+)</b></td>", shown)
    assert order[:2] == ["B02", "A01"]
    assert 'aria-sort="ascending"' in shown
