"""A small set of images with boxes, drawn for the tests."""

import json
import pathlib

import numpy as np
from PIL import Image

from keras_pvt.detection.data.coco import load_coco

CLASSES = ["square", "bar"]
COLOURS = {"square": (230, 30, 40), "bar": (20, 60, 240)}
HEIGHT, WIDTH = 64, 96


def write_set(
    folder: pathlib.Path, count: int, rng: np.random.Generator, masks: bool = False
) -> pathlib.Path:
    """Images with a red square and a blue bar on gray noise, and their COCO JSON.

    The ids of the categories have gaps and begin at 3; there is a "boxes.json" beside "images".
    With masks, squares have a polygon, and bars run lengths.
    """
    (folder / "images").mkdir(parents=True)
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 7, "name": "bar"}, {"id": 3, "name": "square"}],
    }
    for number in range(count):
        pixels = rng.integers(100, 140, (HEIGHT, WIDTH, 3)).astype("uint8")
        x, y = int(rng.integers(0, 40)), int(rng.integers(0, 40))
        for category, name, box in (
            (3, "square", [x, y, 22, 22]),
            (7, "bar", [x // 2 + 48, y // 2, 14, 40]),
        ):
            left, top, width, height = box
            pixels[top : top + height, left : left + width] = COLOURS[name]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": 10 + number,
                    "category_id": category,
                    "bbox": box,
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
            if masks:
                content["annotations"][-1]["segmentation"] = outline(box, polygon=name == "square")
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        content["images"].append(
            {"id": 10 + number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH}
        )
    file = folder / "boxes.json"
    file.write_text(json.dumps(content))
    return file


def outline(box: list[int], polygon: bool):
    """Of all of a box xywh, as COCO writes it."""
    left, top, width, height = box
    if polygon:
        right, bottom = left + width, top + height
        return [[left, top, right, top, right, bottom, left, bottom]]
    pixels = np.zeros((HEIGHT, WIDTH), "uint8")
    pixels[top : top + height, left : left + width] = 1
    flat = pixels.ravel(order="F")  # runs go down the columns, the first of zeros
    ends = np.flatnonzero(np.diff(flat)) + 1
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *ends, flat.size]).tolist()}


def load(file: pathlib.Path, **options):
    """What `write_set` wrote."""
    return load_coco(file, file.parent / "images", **options)


def change(file: pathlib.Path, function) -> None:
    """Apply a function to the content of a JSON file."""
    content = json.loads(file.read_text())
    function(content)
    file.write_text(json.dumps(content))
