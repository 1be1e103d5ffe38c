"""OMERO.tables: rows added, cut, searched and changed, and what of them a kill leaves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import omero
import omero.grid
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omero.gateway import BlitzGateway
from omero.rtypes import rlong, rstring
from omero_people import SETUP

from omero_server.running import RunningServer, running_server
from omero_server.table_file import BadCondition, BadTable, Column, TableFile, evaluate

Connect = Callable[..., BlitzGateway]


def columns(wells: list[int], areas: list[float], names: list[str]) -> list[omero.grid.Column]:
    return [
        omero.grid.WellColumn("well", "", wells),
        omero.grid.DoubleColumn("area", "µm²", areas),
        omero.grid.StringColumn("name", "", 8, names),
    ]


def made(connection: BlitzGateway) -> omero.grid.TablePrx:
    table = connection.c.sf.sharedResources().newTable(1, "results/cells.h5")
    table.initialize(columns([], [], []))
    table.addData(columns([1, 1, 2], [0.5, 1.5, 2.5], ["a", "b", "c"]))
    return table


def test_rows_come_back_by_range_by_number_and_by_condition(connection: BlitzGateway) -> None:
    table = made(connection)
    assert [one.name for one in table.getHeaders()] == ["well", "area", "name"]
    assert table.getNumberOfRows() == 3
    assert [list(one.values) for one in table.read([0, 2], 1, 3).columns] == [[1, 2], ["b", "c"]]
    assert [list(one.values) for one in table.slice([1], [2, 0]).columns] == [[2.5, 0.5]]
    assert list(table.readCoordinates([1]).rowNumbers) == [1]
    assert list(table.getWhereList("(well == 1) & (area > 1)", None, 0, 0, 0)) == [1]
    assert list(table.getWhereList("area < limit", {"limit": rlong(2)}, 0, 3, 1)) == [0, 1]
    table.close()


def test_what_does_not_fit_is_refused(connection: BlitzGateway) -> None:
    table = made(connection)
    for wrong in (
        lambda: table.initialize(columns([], [], [])),
        lambda: table.addData(columns([1], [1.0, 2.0], ["a"])),
        lambda: table.addData(columns([1], [1.0], ["far too long"])),
        lambda: table.read([7], 0, 1),
        lambda: table.slice([0], [99]),
        lambda: table.getWhereList("bogus > 1", None, 0, 0, 0),
        lambda: table.getWhereList("__import__('os')", None, 0, 0, 0),
    ):
        with pytest.raises((omero.ApiUsageException, omero.ValidationException)):
            wrong()
    table.close()


def test_values_change_in_place_and_metadata_stays_with_the_table(connection: BlitzGateway) -> None:
    table = made(connection)
    data = table.slice([1], [0, 1])
    data.columns[0].values = [7.5, 8.5]
    table.update(data)
    table.setMetadata("pipeline", rstring("source"))
    file = table.getOriginalFile()
    table.close()
    again = connection.c.sf.sharedResources().openTable(omero.model.OriginalFileI(file.id.val, False))
    assert list(again.read([1], 0, 3).columns[0].values) == [7.5, 8.5, 2.5]
    assert again.getMetadata("pipeline").val == "source"
    again.delete()
    assert connection.getObject("OriginalFile", file.id.val) is None


def test_a_table_is_only_its_owners_to_write(connect: Connect) -> None:
    ada, ben = connect("ada"), connect("ben")
    for one in (ada, ben):
        one.setGroupForSession(one.getAdminService().lookupGroup("readers").id.val)
    file = made(ada).getOriginalFile()
    table = ben.c.sf.sharedResources().openTable(omero.model.OriginalFileI(file.id.val, False))
    assert table.getNumberOfRows() == 3
    with pytest.raises(omero.SecurityViolation):
        table.addData(columns([1], [1.0], ["x"]))
    table.close()


def test_rows_that_were_acknowledged_survive_a_kill(own_server: RunningServer, connect: Connect) -> None:
    id = made(connect("ada", server=own_server)).getOriginalFile().id.val
    own_server.kill()
    own_server.start()
    table = connect("ada", server=own_server).c.sf.sharedResources().openTable(omero.model.OriginalFileI(id, False))
    assert list(table.slice(None, None).columns[2].values) == ["a", "b", "c"]


def test_a_write_that_was_cut_off_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "table"
    table = TableFile(path)
    table.initialize([Column("LongColumn", "x", values={"values": []})])
    table.add([Column("LongColumn", "x", values={"values": [1, 2]})])
    whole = path.read_bytes()
    table.add([Column("LongColumn", "x", values={"values": [3]})])
    for cut in range(len(whole), len(path.read_bytes())):
        torn = tmp_path / f"torn{cut}"
        torn.write_bytes(path.read_bytes()[:cut])
        again = TableFile(torn)
        assert again.columns[0].values == {"values": [1, 2]}
        again.add([Column("LongColumn", "x", values={"values": [4]})])
        assert TableFile(torn).columns[0].values == {"values": [1, 2, 4]}


def test_names_of_attributes_are_no_names_of_columns(tmp_path: Path) -> None:
    table = TableFile(tmp_path / "table")
    with pytest.raises(BadTable, match="Reserved column name: __x"):
        table.initialize([Column("LongColumn", name, values={"values": []}) for name in ("x", "__x")])


def test_masks_keep_their_bytes(tmp_path: Path) -> None:
    names = ("imageId", "theZ", "theT", "x", "y", "w", "h", "bytes")
    table = TableFile(tmp_path / "table")
    table.initialize([Column("MaskColumn", "mask", values={name: [] for name in names})])
    row = dict(zip(names, ([1], [0], [0], [1.0], [2.0], [3.0], [4.0], [b"\x00\xff"]), strict=True))
    table.add([Column("MaskColumn", "mask", values=row)])
    assert TableFile(tmp_path / "table").columns[0].values == row
    with pytest.raises(BadTable):
        table.cut([0], [1])


@given(st.lists(st.integers(-5, 5), min_size=1), st.integers(-5, 5), st.integers(-5, 5))
def test_conditions_mean_what_they_mean_in_python(x: list[int], low: int, high: int) -> None:
    found = evaluate(f"(x >= {low}) & ~(x > {high}) | (x == 2 * 1)", {"x": np.array(x)})
    assert found.tolist() == [(one >= low and one <= high) or one == 2 for one in x]


@pytest.mark.parametrize("condition", ["x.real > 1", "f(x)", "x and x", "1 < x < 3", "lambda: x", "x[0] > 1", "x >"])
def test_no_condition_is_more_than_comparing(condition: str) -> None:
    with pytest.raises(BadCondition):
        evaluate(condition, {"x": np.array([1])})


def test_a_new_table_is_called_by_its_path_and_belongs_to_its_maker(connection: BlitzGateway) -> None:
    table = made(connection)
    file = table.getOriginalFile()
    table.close()
    assert (file.name.val, file.path.val) == ("results/cells.h5", "results/cells.h5")


def test_a_server_without_tables_says_so_and_makes_none(tmp_path: Path, connect: Connect) -> None:
    with running_server(tmp_path / "without", SETUP | {"has_tables": False}) as server:
        resources = connect("ada", server=server).c.sf.sharedResources()
        assert not resources.areTablesEnabled()
        assert resources.newTable(1, "results/cells.h5") is None
