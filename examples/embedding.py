"""A custom actor beside the mesh's own, in a plain asyncio program whose loop and signals stay its own."""

import asyncio
import sys
from pathlib import Path

from hcs_mesh import Actor, Mesh, Request
from hcs_mesh.messages.metadata import GetPlate


class CountWells(Request[int], frozen=True, kw_only=True, tag="example.count_wells"):
    """Ask how many wells these plates have together."""

    plate_ids: tuple[int, ...]


class Librarian(Actor[CountWells]):
    """Knows the shelves: asks the mesh's metadata cache, as any actor may, and is restarted like any."""

    async def receive(self, message: CountWells) -> object:
        return self.defer(self._count(message.plate_ids))

    async def _count(self, plate_ids: tuple[int, ...]) -> int:
        metadata = self.context.find("metadata")
        return sum([len((await metadata.ask(GetPlate(plate_id=one))).wells) for one in plate_ids])


async def main(data: Path, folder: Path) -> None:
    async with Mesh(data=data).add("librarian", Librarian) as mesh:
        async for status in mesh.follow_import(await mesh.submit_import(folder)):
            print(status.phase, status.state, status.reason)
        print("wells:", await mesh.ask("librarian", CountWells(plate_ids=status.plate_ids)))


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
