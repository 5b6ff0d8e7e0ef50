"""Data sets of tensorflow-datasets, written as COCO's JSON and image files."""

import json
import pathlib
from collections.abc import Iterable, Iterator

from keras_pvt.training.data.tfds import download, library
from keras_pvt.utils.files import replacing
from keras_pvt.utils.images import image_size


def as_coco(name: str, split: str, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Write a split to a folder, once, so that it can be read like any other COCO set.

    Of several processes one writes at a time, and the others find what it has written.

    The images are written as they came, without being decoded. VOC's "difficult" objects and
    COCO's crowds become "iscrowd": neither trained on nor counted as missed.

    Args:
        name: such as "voc/2007" or "coco/2017", or any set with "image", and with "objects" that
            have "bbox" and "label". Downloaded by tensorflow-datasets, unless it is there.
        split: such as "train" or "validation".
        folder: to write to.
    Returns:
        The JSON file and the folder of the images, for `load_coco`.
    Raises:
        ImportError: tensorflow-datasets is not installed.
        ValueError: there is no such set or split, or it has no boxes.
    """
    import filelock

    stem = f"{name}-{split}".replace("/", "-")
    images, annotations = folder / stem, folder / f"{stem}.json"
    if not annotations.exists():  # which is written last
        examples, labels = _examples(name, split)
        images.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f".{stem}.lock"):
            if not annotations.exists():
                _write(examples, labels, images, annotations)
    return annotations, images


def _examples(name: str, split: str):
    """The examples of a split, one by one, and the names of their classes."""
    tfds = library(name)
    try:
        builder = tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(f"{name} is neither a file nor a set of tensorflow-datasets.") from error
    features = builder.info.features
    if not {"image", "objects"} <= set(features) or not {"bbox", "label"} <= set(
        features["objects"]
    ):
        raise ValueError(f"{name} of tensorflow-datasets has no images with boxes.")
    download(builder)
    dataset = builder.as_dataset(split, decoders={"image": tfds.decode.SkipDecoding()})
    return tfds.as_numpy(dataset), features["objects"]["label"].names


def _write(examples: Iterable[dict], labels: list[str], images, annotations) -> None:
    content: dict[str, list[dict]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": n, "name": label} for n, label in enumerate(labels)],
    }
    for number, example in enumerate(examples):
        file = images / f"{number:06d}{_suffix(example['image'])}"
        file.write_bytes(example["image"])
        height, width = image_size(file)
        content["images"].append(
            {"id": number, "file_name": file.name, "height": height, "width": width}
        )
        for entry in _objects(example["objects"], height, width):
            key = len(content["annotations"])
            content["annotations"].append({"id": key, "image_id": number, **entry})
    with replacing(annotations) as temporary:
        temporary.write_text(json.dumps(content))


def _objects(objects: dict, height: int, width: int) -> Iterator[dict]:
    """Entries of COCO's "annotations", from boxes that are yxyx in fractions of the image."""
    ignored = [objects[key] for key in ("is_crowd", "is_difficult") if key in objects]
    for n, (y1, x1, y2, x2) in enumerate(objects["bbox"].tolist()):
        entry = {
            "category_id": int(objects["label"][n]),
            "bbox": [x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height],
            "iscrowd": int(any(flags[n] for flags in ignored)),
        }
        if "area" in objects:
            entry["area"] = float(objects["area"][n])
        yield entry


def _suffix(content: bytes) -> str:
    return ".jpg" if content.startswith(b"\xff\xd8") else ".png"
