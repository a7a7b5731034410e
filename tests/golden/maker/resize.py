"""Pillow's Lanczos resize of 8-bit pictures, the one the pipelines apply to input pictures.

The two passes do not commute, as each rounds to bytes. Pillow up to 12 runs the horizontal one first; Pillow 13 runs
the vertical one first where the height shrinks by more than twice what the width does (in pixels).
"""

import numpy as np
from diffusers.video_processor import VideoProcessor
from PIL import Image

from . import filler
from .store import Case

NAMES = ["resize"]

# (height, width) from -> to: larger, smaller, mixed, one axis, unchanged, lines and single pixels, 8-fold both ways.
SIZES = [((12, 20), (24, 40)), ((13, 17), (31, 29)), ((40, 50), (32, 48)), ((33, 47), (16, 16)), ((24, 56), (32, 48)),
         ((20, 30), (20, 45)), ((20, 30), (9, 30)), ((16, 24), (16, 24)), ((1, 1), (7, 5)), ((1, 40), (6, 11)),
         ((40, 1), (11, 6)), ((9, 7), (1, 1)), ((48, 64), (6, 8)), ((3, 4), (24, 32)), ((128, 3), (5, 3)),
         ((40, 60), (39, 80)), ((40, 60), (30, 55)), ((40, 60), (29, 55))]


def make(name: str) -> Case:
    case = Case(name, "resize", "Lanczos on bytes; the results are exact").set(
        inputs="in.image.<number> as pixels [H, W, 3]",
        call=[{"tensor": f"out{i}", "from": list(a), "to": list(b)} for i, (a, b) in enumerate(SIZES)])
    processor = VideoProcessor(vae_scale_factor=1)  # 1: sizes are not rounded
    for i, (source, target) in enumerate(SIZES):
        image = Image.fromarray(filler.pixels(f"in.image.{i}", (*source, 3)))
        resized = np.asarray(processor.resize(image, *target))
        case.add(f"out{i}", resized, "[H, W, 3] bytes", whole=True)
        # One axis at a time through the same code: the order of Pillow up to 12.
        in_order = np.asarray(processor.resize(processor.resize(image, source[0], target[1]), *target))
        if not np.array_equal(in_order, resized):
            case.add(f"out{i}.horizontal_first", in_order, "the same as Pillow up to 12 gives it", whole=True)
        rule = source[0] > target[0] and source[0] - target[0] > 2 * (source[1] - target[1])
        case.json["call"][i]["vertical_first"] = rule
        if not rule and f"out{i}.horizontal_first" in case.entries:
            raise AssertionError(f"Pillow orders its passes by another rule: {source} -> {target}")
    return case
