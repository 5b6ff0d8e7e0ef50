"""Summaries of data sets of each kind, and sheets of their samples."""

import copy
import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_pvt.detection.box_drawing import draw_boxes
from keras_pvt.detection.data.coco import checked_set, load_coco
from keras_pvt.detection.data.formats import choice as boxes
from keras_pvt.detection.data.samples import DetectionSet, Sample
from keras_pvt.detection.data.segmentations import mask
from keras_pvt.segmentation.data.layouts import find_layout
from keras_pvt.segmentation.data.opening import open_split
from keras_pvt.segmentation.data.samples import LabelRule, SegmentationSet
from keras_pvt.segmentation.drawing import below, legend, overlay
from keras_pvt.training.data.folder import FolderImages
from keras_pvt.utils.colours import colours
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.drawing import sheet, write_png
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.images import ImageError, image_size, load_image
from keras_pvt.utils.listing import Listing, has_folders, split_folder
from keras_pvt.utils.threads import each

SAMPLES = 16
TILE = 480  # pixels that a sample is wide
# Square pixels up to which an object is small, and medium, as COCO counts them.
SMALL, MEDIUM = 32**2, 96**2
UNDECODABLE = "image that cannot be decoded: training takes another in its place"


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a data set is.

    Args:
        content: for JSON.
        count: of the images of the first split, of which a sheet shows some.
        picture: draws the image of a number; raises what a reader does where it cannot be read.
        legend: what colours mean, below the pictures; None: they say it themselves.
    """

    content: dict[str, Any]
    count: int
    picture: Callable[[int], Image.Image]
    legend: Callable[[int], Image.Image] | None = None


def summarize(
    path: pathlib.Path,
    name: str = "",
    classes: list[str] | None = None,
    images: pathlib.Path | None = None,
    reduce_zero: bool = False,
) -> Summary:
    """Read a data set of any kind, and check it.

    Args:
        path: of its folder, or of the file that describes it.
        name: of the format; empty: the only one that fits.
        classes: names in the order of the labels; by default as the format has them.
        images: folder of the images, of a COCO JSON.
        reduce_zero: of masks: id 0 has no class, and 1 is the first.
    Raises:
        OSError, ImportError, ValueError: see `load_folder`, `open_split` and `FolderImages`.
    """
    if images is not None:
        data = {"": load_coco(path, images, classes)}
        return _of_boxes("coco", "--images names its images", data, data)
    listing = Listing(path)
    found = boxes.fitting(listing)
    if (pixels := _pixels_fit(listing)) is not None:
        found["folders"] = pixels
    if not found and (folders := _classes_fit(listing)) is not None:
        found["classes"] = folders
    if name and name not in found:
        raise ValueError(
            f"{os.fspath(path)!r} is no {name!r}; what fits: {', '.join(found) or 'nothing'}."
        )
    if len(found) > 1 and not name:
        several = "; ".join(f"{one}, as {why}" for one, why in found.items())
        raise ValueError(f"{os.fspath(path)!r} fits several formats: {several}. --format decides.")
    if not found:
        try:
            boxes.choose(listing)  # says what there may be
        except ValueError as error:
            raise ValueError(
                f"{error} Nor has it images/ and masks/ of the same names, or a folder with images "
                "for each of two classes or more."
            ) from error
    chosen = name or next(iter(found))
    if chosen == "classes":
        return _of_classes(listing, found[chosen], classes)
    if chosen == "folders":
        return _of_pixels(listing, found[chosen], classes, reduce_zero)
    splits = boxes.FORMATS[chosen].read(listing)
    plain, outlined = {}, {}
    for split, (file, folder) in splits.items():
        apart = dataclasses.replace(file, report=copy.deepcopy(file.report))
        plain[split] = checked_set(file, folder, classes)
        outlined[split] = checked_set(apart, folder, classes, masks=True)
        classes = classes or plain[split].classes
    return _of_boxes(chosen, found[chosen], plain, outlined)


def draw(summary: Summary, path: pathlib.Path, seed: int) -> None:
    """Write a PNG of some samples, drawn at random.

    Args:
        summary: of the data set.
        path: of the PNG.
        seed: draws which.
    """
    chosen = np.random.default_rng(seed).permutation(summary.count)
    pictures: list[Image.Image] = []
    for number in chosen.tolist():
        if len(pictures) == SAMPLES:
            break
        try:
            pictures.append(summary.picture(number))
        except (OSError, ImageError):
            continue  # the report names those that are known by now
    if not pictures:
        raise ValueError("no image of the first split can be read, so that none is drawn.")
    whole = sheet(pictures, width=TILE)
    if summary.legend is not None:
        whole = below(whole, summary.legend(whole.width))
    write_png(whole, path)


def _sizes(sizes: Sequence[tuple[float, float]] | np.ndarray) -> dict[str, list[float]]:
    """Of (width, height): those of the least and the most area, and the medians."""
    array = np.array(sizes, "float64").reshape(-1, 2)
    area = array.prod(1)
    rows = array[[area.argmin(), area.argmax()]].round(1).tolist()
    return {
        "smallest": rows[0],
        "median": np.median(array, 0).round(1).tolist(),
        "largest": rows[1],
    }


def _undecodable(name: str | pathlib.Path) -> str | None:
    """Why an image cannot be decoded; a header says nothing of what a file lacks at its end."""
    try:
        load_image(name)
    except (OSError, ImageError) as error:
        return str(error)
    return None


def _of_boxes(
    name: str, why: str, plain: dict[str, DetectionSet], outlined: dict[str, DetectionSet]
) -> Summary:
    content: dict[str, Any] = {"task": "boxes", "format": name, "why": why}
    content["title"] = boxes.FORMATS[name].title
    content["splits"] = {split: _boxes_of(data) for split, data in plain.items()}
    for data in plain.values():
        errors = each(_undecodable, [one.path for one in data.samples], "reading images")
        for error in filter(None, errors):
            data.report.add(UNDECODABLE, error)
    for split, data in outlined.items():
        content["splits"][split]["outlines"] = sum(len(one.segmentations) for one in data.samples)
    split = next(iter(plain))
    data = plain[split]
    by_path = {one.path: one for one in outlined[split].samples}
    palette = colours(data.classes)

    def picture(number: int) -> Image.Image:
        sample = data.samples[number]
        image = Image.fromarray(load_image(sample.path))
        scale = TILE / image.width
        image = image.resize((TILE, max(1, round(scale * image.height))))
        masks = _masks(by_path[sample.path], image.size)
        # Masks lie below; each has the colour of its own object's class.
        if masks:
            labels = by_path[sample.path].labels
            below = draw_boxes(np.array(image), np.zeros((0, 4)), np.zeros((0, 3)), [])
            for own, label in zip(masks, labels, strict=True):
                tint = Image.fromarray(np.uint8(110 * own))
                below.paste(tuple(palette[label].tolist()), (0, 0), tint)
            image = below
        names = [data.classes[label] for label in sample.labels]
        return draw_boxes(np.array(image), scale * sample.boxes, palette[sample.labels], names)

    return Summary(content, len(data.samples), picture)


def _masks(sample: Sample, size: tuple[int, int]) -> list[np.ndarray]:
    """What the objects with an outline cover, in an image of (width, height)."""
    if not sample.segmentations:
        return []
    with needed_for("drawing outlines", "detection"):
        import pycocotools  # noqa: F401
    whole = (sample.height, sample.width)
    found = (Image.fromarray(mask(one, whole)) for one in sample.segmentations)
    return [np.array(one.resize(size, Image.Resampling.NEAREST)) > 0 for one in found]


def _boxes_of(data: DetectionSet) -> dict[str, Any]:
    """The summary of a split."""
    samples = data.samples
    labels = np.concatenate([one.labels for one in samples])
    images = np.concatenate([np.unique(one.labels) for one in samples])
    count = len(data.classes)
    objects, of_images = (np.bincount(one, minlength=count) for one in (labels, images))
    corners = np.concatenate([one.boxes for one in samples])
    found: dict[str, Any] = {
        "images": len(samples),
        "objects": len(labels),
        "without": sum(not len(one.labels) for one in samples),
        "ignored": int(sum(one.crowd.sum() for one in samples)),
        "classes": {
            name: {"objects": int(own), "images": int(times)}
            for name, own, times in zip(data.classes, objects, of_images, strict=True)
        },
        "image_sizes": _sizes([(one.width, one.height) for one in samples]),
        "report": data.report.places,
    }
    if len(corners):
        sides = corners[:, 2:] - corners[:, :2]
        areas = sides.prod(1)
        found["box_sizes"] = _sizes(sides)
        found["areas"] = {
            "small (below 32 x 32)": float((areas < SMALL).mean()),
            "medium": float(((areas >= SMALL) & (areas < MEDIUM)).mean()),
            "large (96 x 96 or more)": float((areas >= MEDIUM).mean()),
        }
    return found


RULE = LabelRule(reduce_zero=True)  # which no layout refuses


def _pixels_fit(listing: Listing) -> str | None:
    """What makes a folder one of images and masks, in words."""
    if listing.given is not None:
        return None
    for split in ("train", "val", ""):
        try:
            layout = find_layout(listing.root, split, RULE, DataReport())
        except FileNotFoundError:
            continue
        except ValueError as error:
            if "has no image" in str(error):  # as labels/ of YOLO has none
                continue
            raise
        if layout.pairs.files:
            image, label = (file.relative_to(listing.root) for file in layout.pairs.files[0])
            return f"{label} has the pixels of {image}"
    return None


def _of_pixels(listing: Listing, why: str, classes: list[str] | None, reduce_zero: bool) -> Summary:
    sets: dict[str, SegmentationSet] = {}
    title = ""
    seen: list[list] = []  # files of each split; "val" may be what "test" is
    for split in ("train", "val", "test", ""):
        try:
            layout = find_layout(listing.root, split, RULE, DataReport())
        except FileNotFoundError:
            continue
        title = title or layout.title
        first = next(iter(sets.values()), None)
        if first is not None and (not split or layout.pairs.files in seen):
            continue
        seen.append(layout.pairs.files)
        rule = LabelRule(reduce_zero=reduce_zero or title == "ADE20K")
        try:
            names = classes if first is None else first.classes
            sets[split] = open_split(listing.root, split, names, rule)
        except ValueError as error:
            if first is None or split != "test":
                raise
            # As that of Cityscapes, whose labels are kept back.
            first.report.add("test split without a label to use: left out", str(error))
    content: dict[str, Any] = {"task": "pixels", "format": "folders", "why": why}
    content["title"] = title
    content["splits"] = {split: _pixels_of(data) for split, data in sets.items()}
    data = next(iter(sets.values()))

    def picture(number: int) -> Image.Image:
        image, labels = data.image(number), data.labels(number)
        size = (TILE, max(1, round(TILE * image.shape[0] / image.shape[1])))
        small = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
        shown = np.array(Image.fromarray(image).resize(size))
        return overlay(shown, np.array(small), data.classes)

    def key(width: int) -> Image.Image:
        return legend(dict(enumerate(data.classes)), data.classes, width)

    return Summary(content, len(data), picture, key)


def _pixels_of(data: SegmentationSet) -> dict[str, Any]:
    """The summary of a split; every label is read."""
    count = len(data.classes)

    def counted(number: int) -> tuple[np.ndarray, tuple[int, int]]:
        labels = data.labels(number)
        return np.bincount(labels.ravel(), minlength=256), labels.shape[::-1]

    read = each(counted, range(len(data)), "counting pixels")
    pixels = np.stack([one for one, _ in read])
    whole = pixels.sum()
    classes = {
        name: {
            "images": int((pixels[:, label] > 0).sum()),
            "of all pixels": f"{pixels[:, label].sum() / whole:.2%}",
        }
        for label, name in enumerate(data.classes)
    }
    return {
        "images": len(data),
        "ignored": f"{pixels[:, count:].sum() / whole:.2%}",
        "classes": classes,
        "image_sizes": _sizes([size for _, size in read]),
        "report": data.report.places,
    }


# No classes: folders of images and of labels, though not in a layout that is known.
OF_PIXELS = {
    *("image", "images", "img", "imgs", "jpegimages"),
    *("mask", "masks", "label", "labels", "annotation", "annotations", "gt", "segmentationclass"),
}


def _classes_fit(listing: Listing) -> str | None:
    """What makes a folder one of class folders, in words."""
    if listing.given is not None:
        return None
    for name, folder in _class_folders(listing.root).items():
        inside = [one for one in sorted(folder.iterdir()) if one.is_dir()]
        own = [one.name for one in inside if any(image.parent == one for image in listing.images)]
        if len(own) > 1 and not OF_PIXELS.issuperset(map(str.lower, own)):
            return f"{name or 'it'} has folders with images, {own[0]} and {own[1]} among them"
    return None


def _class_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders with class folders, by split."""
    splits: dict[str, pathlib.Path] = {}
    for split in ("train", "test", "val"):  # "val" may be what "test" is
        own = split_folder(root, split)
        if own is not None and own not in splits.values():
            splits[split] = own
    if not any(map(has_folders, splits.values())):
        return {"": root}  # they are classes, such as trains
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}


def _of_classes(listing: Listing, why: str, classes: list[str] | None) -> Summary:
    sets: dict[str, FolderImages] = {}
    content: dict[str, Any] = {"task": "classes", "format": "classes", "why": why}
    content["title"] = "a folder for each class"
    content["splits"] = {}
    for split, folder in _class_folders(listing.root).items():
        report = DataReport()
        sets[split] = FolderImages(folder, classes, report)
        classes = list(sets[split].classes)
        content["splits"][split] = _classes_of(sets[split], report)
    data = next(iter(sets.values()))

    def picture(number: int) -> Image.Image:
        image = Image.fromarray(data.read(number))
        image = image.resize((TILE, max(1, round(TILE * image.height / image.width))))
        font = ImageFont.load_default(size=TILE // 20)
        drawing = ImageDraw.Draw(image)
        text = data.classes[data.label(number)]
        drawing.rectangle(drawing.textbbox((2, 0), text, font), fill="black")
        drawing.text((2, 0), text, "white", font)
        return image

    return Summary(content, len(data), picture)


def _classes_of(data: FolderImages, report: DataReport) -> dict[str, Any]:
    """The summary of a split; every image is decoded."""

    def look(number: int) -> tuple[tuple[int, int] | None, str | None]:
        """(width, height), and what is wrong."""
        try:
            height, width, _ = data.read(number).shape
            return (width, height), None
        except (OSError, ImageError) as error:
            undecodable = str(error)
        try:  # what has no end may have a size
            return image_size(data.name(number))[::-1], undecodable
        except (OSError, ImageError):
            return None, data.name(number)

    read = each(look, range(len(data)), "reading images")
    for size, wrong in read:
        if wrong is not None:
            report.add(
                "image file that is no readable image" if size is None else UNDECODABLE, wrong
            )
    sizes = [size for size, _ in read if size is not None]
    if not sizes:
        raise ValueError(
            f"none of the {len(data)} image files in {os.fspath(data.folder)!r} is a readable "
            f"image, {data.name(0)} the first."
        )
    counts = np.bincount(data.labels, minlength=len(data.classes)).tolist()
    return {
        "images": len(data),
        "classes": {
            name: {"images": count} for name, count in zip(data.classes, counts, strict=True)
        },
        "image_sizes": _sizes(sizes),
        "report": report.places,
    }
