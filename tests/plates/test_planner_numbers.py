"""Numbers in metadata that no plate can have: told as damage, whoever wrote them."""

import pytest
from named_folder import NamedFolder

from hcs_mesh.plates import MetadataError, Missing
from hcs_mesh.plates.planners import PlaneTable
from hcs_mesh.plates.planners.cellvoyager import plan_cellvoyager
from hcs_mesh.plates.planners.operetta import plan_operetta

IMPOSSIBLE = (-1, 1 << 31, 10**20)
RECORDS = (
    '<bts:MeasurementData xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"><bts:MeasurementRecord '
    'bts:Type="IMG" bts:Row="1" bts:Column="1" bts:TimePoint="{t}" bts:FieldIndex="{field}" bts:ZIndex="{z}" '
    'bts:Ch="1">a.tif</bts:MeasurementRecord></bts:MeasurementData>'
)
INDEX = (
    "<EvaluationInputData><Images><Image><URL>a.tif</URL><Row>1</Row><Col>1</Col><FieldID>{field}</FieldID>"
    "<ChannelID>1</ChannelID></Image></Images></EvaluationInputData>"
)


@pytest.mark.parametrize("number", IMPOSSIBLE)
@pytest.mark.parametrize("axis", ["field", "c", "z", "t"])
def test_no_plane_is_claimed_or_missed_at_an_impossible_place(axis: str, number: int) -> None:
    table = PlaneTable(NamedFolder("a.tif"))
    with pytest.raises(MetadataError, match=rf"a\.tif would be {axis} {number}, which no plate has"):
        table.claim("A01", "a.tif", **{axis: number})
    places = {"field": 1, "c": 0, "z": 0, "t": 0, axis: number}
    with pytest.raises(MetadataError, match=f"an image would be {axis} {number}"):
        table.miss(Missing(well="A01", **places))


@pytest.mark.parametrize("number", IMPOSSIBLE)
@pytest.mark.parametrize("there", [("a.tif",), ()])
def test_records_and_indexes_with_impossible_numbers_are_damaged(number: int, there: tuple[str, ...]) -> None:
    shown = str(number)[:9]
    for axis in ("field", "z", "t"):
        # z and t are written from 1.
        written = {"field": 1, "z": 1, "t": 1, axis: number if axis == "field" else number + 1}
        with pytest.raises(MetadataError, match=f"would be {axis} {number}|no usable number '{shown}"):
            plan_cellvoyager(NamedFolder(*there, texts={"MeasurementData.mlf": RECORDS.format(**written)}))
    with pytest.raises(MetadataError, match=f"would be field {number}|no usable number '{shown}"):
        plan_operetta(NamedFolder(*there, texts={"Index.xml": INDEX.format(field=number)}))
