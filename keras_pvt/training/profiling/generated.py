"""Generated data for a profile: files that take as long as photographs, for every task."""

import io
import json
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from keras_pvt.recipes.base import BaseRecipe
from keras_pvt.systems import SYSTEMS

CLASSES = 10
OBJECTS = 8  # in an image; COCO has 7
PHOTOGRAPH = (480, 640)  # height and width, as in COCO
LARGE = 224  # pixels from which a recipe is for photographs
PATCH = 16  # pixels: JPEG makes 90 kB of a photograph
DRAWN = 8  # different images


def write(recipe: BaseRecipe, folder: pathlib.Path, classes: int | None = None) -> Any:
    """Write a data set that a recipe can be trained on; nothing can be learnt from it.

    Images are JPEG files, as large as photographs, or as large as the recipe's if those have less
    than 224 pixels. There are two batches of them.

    Args:
        recipe: of any task.
        folder: empty.
        classes: number of classes; by default that of the recipe, or 10.
    Returns:
        The recipe, with the data set as its data.
    Raises:
        ValueError: a number of classes that cannot be.
        OSError: the folder cannot be written.
    """
    if classes is None:
        classes = getattr(recipe, "classes", 0) or CLASSES
    if classes < 1:
        raise ValueError(f"generated data have 1 class or more; got {classes}.")
    writer = {
        "classification": _write_classes,
        "detection": _write_boxes,
        "segmentation": _write_masks,
    }[SYSTEMS[recipe.system].task]
    rng = np.random.default_rng(0)
    size = _size(recipe)
    images = [_jpeg(rng, size) for _ in range(DRAWN)]
    return recipe.replace(**writer(recipe, folder, classes, rng, size, images))


def _size(recipe) -> tuple[int, int]:
    sides = (recipe.side, recipe.side) if hasattr(recipe, "side") else recipe.sides()
    return PHOTOGRAPH if max(sides) >= LARGE else sides


def _patches(rng, size: tuple[int, int], high: int, channels: tuple[int, ...] = ()) -> np.ndarray:
    """Random numbers below `high`, as coarse as what is seen in a photograph."""
    height, width = (-(-side // PATCH) for side in size)
    return rng.integers(0, high, (height, width, *channels), "uint8")


def _jpeg(rng, size: tuple[int, int]) -> bytes:
    coarse = Image.fromarray(_patches(rng, size, 256, (3,)))
    image = coarse.resize(size[::-1], Image.Resampling.BICUBIC)
    noisy = np.asarray(image, "int16") + rng.integers(-8, 9, (*size, 3))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype("uint8")).save(file, "JPEG", quality=90)
    return file.getvalue()


def _write_images(folder: pathlib.Path, count: int, images: list[bytes]) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(images[number % DRAWN])


def _write_classes(recipe, folder, classes, rng, size, images) -> dict[str, Any]:
    for part, count in (("train", 2 * recipe.batch_size), ("val", classes)):
        for number in range(classes):
            share = len(range(number, count, classes))
            _write_images(folder / part / f"{number:04}", max(1, share), images)
    return {"data": str(folder)}


def _write_boxes(recipe, folder, classes, rng, size, images) -> dict[str, Any]:
    count = 2 * recipe.batch_size
    _write_images(folder / "images", count, images)
    content: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(classes)],
    }
    height, width = size
    for image in range(count):
        content["images"].append(
            {"id": image, "file_name": f"{image}.jpg", "height": height, "width": width}
        )
        for _ in range(OBJECTS):
            h, w = (side * rng.uniform(0.1, 0.5) for side in size)
            y, x = rng.uniform(0, height - h), rng.uniform(0, width - w)
            number = len(content["annotations"])
            content["annotations"].append(
                {
                    "id": number,
                    "image_id": image,
                    "category_id": number % classes,
                    "bbox": [x, y, w, h],
                    "area": h * w / 2,
                    "iscrowd": 0,
                    # A rhombus.
                    "segmentation": [
                        [x + w / 2, y, x + w, y + h / 2, x + w / 2, y + h, x, y + h / 2]
                    ],
                }
            )
    file = folder / "boxes.json"
    file.write_text(json.dumps(content))
    data, where = str(file), str(folder / "images")
    return {"data": data, "images": where, "val_data": data, "val_images": where}


def _write_masks(recipe, folder, classes, rng, size, images) -> dict[str, Any]:
    for part in ("train", "val"):
        _write_images(folder / part, 2 * recipe.batch_size, images)
        (folder / f"{part}_labels").mkdir()
        for number in range(2 * recipe.batch_size):
            ids = _patches(rng, size, classes) + recipe.reduce_zero
            labels = Image.fromarray(ids).resize(size[::-1], Image.Resampling.NEAREST)
            labels.save(folder / f"{part}_labels" / f"{number}.png")
    return {"data": str(folder), "classes": classes}
