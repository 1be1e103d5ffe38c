"""Numbers that no row of the catalogue can have."""

from pathlib import Path

import pytest

from hcs_mesh.client import Client
from hcs_mesh.plates.local import LocalRepository
from hcs_mesh.plates.local.errors import PlateNotFound
from hcs_mesh.transport import Endpoint, ServerKey, new_pair

IMPOSSIBLE = (-1, 0, 1 << 63, 1 << 64, 99999999999999999999999)


@pytest.mark.parametrize("plate_id", IMPOSSIBLE)
def test_a_number_beyond_the_catalogue_is_simply_not_found(tmp_path: Path, plate_id: int) -> None:
    repository = LocalRepository(tmp_path)
    for ask in (
        lambda: repository.plate(plate_id),
        lambda: repository.files(plate_id),
        lambda: repository.results_folder(plate_id, "job-0001", "A01", 1),
        lambda: repository.commit_well(plate_id, "job-0001", "A01", 1),
        lambda: repository.annotate(plate_id, key="k", namespace="n", name="n", value="v"),
    ):
        with pytest.raises(PlateNotFound, match=f"There is no plate {plate_id}"):
            ask()
    repository.close()


@pytest.mark.anyio
@pytest.mark.parametrize("plate_id", IMPOSSIBLE)
async def test_a_number_that_no_message_carries_is_not_found_before_it_is_sent(plate_id: int) -> None:
    client = Client(Endpoint(control="", data=""), new_pair(), ServerKey(public=""))
    with pytest.raises(PlateNotFound, match=f"There is no plate {plate_id}"):
        await client.plate(plate_id)
    with pytest.raises(PlateNotFound, match=f"There is no plate {plate_id}"):
        await client.submit_job(plate_id, "")
