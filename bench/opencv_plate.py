"""The script that a good programmer writes for one plate: OpenCV in two workers. ``opencv_plate.py FOLDER``."""

import json
import sys
import time
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
import tifffile

SQUARE = np.ones((51, 51), np.uint8)


def count(path: Path) -> int:
    """Blur, top-hat, Otsu, label, count."""
    cv2.setNumThreads(1)
    flat = cv2.morphologyEx(cv2.GaussianBlur(tifffile.imread(path), (0, 0), 2.0), cv2.MORPH_TOPHAT, SQUARE)
    _, mask = cv2.threshold(flat, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    n, _ = cv2.connectedComponents(mask.astype(np.uint8))
    return n - 1


if __name__ == "__main__":
    paths = sorted(Path(sys.argv[1]).rglob("*.TIF"))
    start = time.perf_counter()
    with Pool(2) as pool:
        counts = pool.map(count, paths, chunksize=1)
    elapsed_s = time.perf_counter() - start
    wells: dict[str, int] = {}
    for path, n in zip(paths, counts, strict=True):
        _, well, _, wave = path.stem.split("_")
        if wave == "w1":
            wells[well] = wells.get(well, 0) + n
    print(json.dumps({"elapsed_s": elapsed_s, "wells": wells}))
