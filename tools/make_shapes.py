"""Draw a data set of overlapping shapes with known masks, in COCO's format, to train masks on.

Each image shows circles, squares, triangles and stars, of any colour and turned at random, one in
front of the other, on a coloured ground, with noise. A mask is what can be seen of a shape. The
same seed draws the same set.

Written to OUT are images/, train.json and val.json, for `keras-pvt train`.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
from PIL import Image, ImageDraw
from rich.progress import track

from keras_pvt.cli.program import exit_status
from keras_pvt.detection.data.segmentations import run_lengths

EXAMPLES = """examples:
  python tools/make_shapes.py --out shapes
  python tools/make_shapes.py --out shapes --train 20000 --val 1000 --size 256
"""
CLASSES = ("circle", "square", "triangle", "star")
LEAST_SEEN = 0.25  # of a shape, else it is no object
NOISE = 12  # standard deviation, of 255


def parse(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=pathlib.Path, required=True, help="folder to write to, new or empty")
    add("--train", type=int, default=4500, help="images to train on, default 4500")
    add("--val", type=int, default=500, help="images to validate on, default 500")
    add("--size", type=int, default=96, help="sides in pixels, default 96")
    add("--most", type=int, default=6, help="most shapes in an image, default 6")
    add("--seed", type=int, default=0, help="default 0")
    options = parser.parse_args(arguments)
    if min(options.train, options.val, options.most) < 1 or options.size < 32:
        parser.error("--train, --val and --most must be 1 or more, --size 32 or more")
    return options


def outline(shape: str, centre: np.ndarray, radius: float, turn: float) -> list[tuple]:
    """Corners of a shape in pixels; a circle has 64."""
    count, inner = {"circle": (64, 1), "square": (4, 1), "triangle": (3, 1), "star": (10, 0.45)}[
        shape
    ]
    angles = turn + 2 * math.pi * np.arange(count) / count
    radii = np.where(np.arange(count) % 2, inner, 1) * radius
    points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return [tuple(point) for point in points.tolist()]


def draw(rng: np.random.Generator, size: int, most: int):
    """An image uint8 `(H, W, 3)`, and for each shape its class and the mask of what is seen."""
    picture = Image.new("RGB", (size, size), tuple(rng.integers(40, 216, 3).tolist()))
    owner = Image.new("I", (size, size), 0)  # number of the shape that a pixel is of
    shapes, areas = [], []
    for number in range(1, int(rng.integers(2, most + 1)) + 1):
        shape = CLASSES[rng.integers(len(CLASSES))]
        radius = size * rng.uniform(0.08, 0.24)
        points = outline(shape, rng.uniform(0.1, 0.9, 2) * size, radius, rng.uniform(0, math.tau))
        ImageDraw.Draw(picture).polygon(points, fill=tuple(rng.integers(0, 256, 3).tolist()))
        ImageDraw.Draw(owner).polygon(points, fill=number)
        shapes.append(shape)
        areas.append((np.asarray(owner) == number).sum())
    owners = np.asarray(owner)
    pixels = np.asarray(picture) + rng.normal(0, NOISE, (size, size, 3))
    objects = [
        (shape, owners == number)
        for number, (shape, area) in enumerate(zip(shapes, areas, strict=True), 1)
        if (owners == number).sum() >= max(16, LEAST_SEEN * area)
    ]
    return np.clip(np.rint(pixels), 0, 255).astype("uint8"), objects


def annotation(key: int, image: int, shape: str, mask: np.ndarray) -> dict:
    """An entry of COCO's "annotations"."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "id": key,
        "image_id": image,
        "category_id": CLASSES.index(shape) + 1,
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(mask.sum()),
        "segmentation": run_lengths([mask])[0],
        "iscrowd": 0,
    }


def make(options: argparse.Namespace) -> None:
    images = options.out / "images"
    if images.exists() and any(images.iterdir()):
        raise ValueError(f"{images} is not empty; choose a new folder.")
    images.mkdir(parents=True, exist_ok=True)
    for part, (name, count) in enumerate((("train", options.train), ("val", options.val))):
        content: dict[str, list[dict]] = {
            "images": [],
            "annotations": [],
            "categories": [{"id": n, "name": shape} for n, shape in enumerate(CLASSES, 1)],
        }
        for number in track(range(count), f"drawing {name}", transient=True):
            rng = np.random.default_rng((options.seed, part, number))
            pixels, objects = draw(rng, options.size, options.most)
            file = f"{name}-{number:05}.png"
            Image.fromarray(pixels).save(images / file)
            size = {"height": options.size, "width": options.size}
            content["images"].append({"id": number, "file_name": file, **size})
            for shape, mask in objects:
                key = len(content["annotations"])
                content["annotations"].append(annotation(key, number, shape, mask))
        (options.out / f"{name}.json").write_text(json.dumps(content))
        print(f"{name}: {count} images with {len(content['annotations'])} shapes")


if __name__ == "__main__":
    sys.exit(exit_status(make, parse(None)))
