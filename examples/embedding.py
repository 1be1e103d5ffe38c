"""A custom actor beside the mesh's own, in a plain asyncio program whose loop and signals stay its own."""

import asyncio
import sys
from pathlib import Path

from hcs_mesh import Actor, Mesh, Request
from hcs_mesh.messages.metadata import ListPlates


class CountWells(Request[int], frozen=True, kw_only=True, tag="example.count_wells"):
    """Ask how many wells all plates have together."""


class Librarian(Actor[CountWells]):  # asks others by their messages, and is restarted like them
    async def receive(self, message: CountWells) -> object:
        return self.defer(self.count())

    async def count(self) -> int:
        return sum(plate.n_wells for plate in await self.context.find("metadata").ask(ListPlates()))


async def main(data: Path, folder: Path) -> None:
    async with Mesh(data=data).add("librarian", Librarian) as mesh:
        async for status in mesh.follow_import(await mesh.submit_import(folder)):
            print(status.phase, status.state, status.reason)
        print("wells:", await mesh.ask("librarian", CountWells()))


asyncio.run(main(*map(Path, sys.argv[1:]))) if len(sys.argv) == 3 else sys.exit("usage: embedding.py DATA FOLDER")
