"""`keras_pvt.evaluation.evaluate`: measures a model on data, both given by name."""

import functools
import os
import pathlib
import sys
from collections.abc import Sequence

from keras_pvt.evaluation.classification import ClassifierEvaluation
from keras_pvt.evaluation.detection import DetectorEvaluation, open_set
from keras_pvt.evaluation.named import Named, task_of
from keras_pvt.evaluation.report import Report
from keras_pvt.evaluation.segmentation import SegmenterEvaluation, labels_of, renumbered
from keras_pvt.segmentation.data.opening import SplitFiles, find_split_files
from keras_pvt.segmentation.data.samples import LabelRule
from keras_pvt.training.data.folder import FolderImages
from keras_pvt.training.data.images import Images
from keras_pvt.training.data.opening import data_folder, open_images
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.listing import has_folders, split_folder
from keras_pvt.variants import VARIANTS

Evaluation = ClassifierEvaluation | DetectorEvaluation | SegmenterEvaluation


def evaluate(
    model: str | os.PathLike,
    data: str | os.PathLike,
    out: str | os.PathLike | None = None,
    *,
    split: str = "val",
    images: str | os.PathLike | None = None,
    format: str = "",
    weights: str | os.PathLike | None = None,
    classes: str | Sequence[str] | None = None,
    size: int | None = None,
    ignored: Sequence[int] = LabelRule.ignore,
    reduce_zero: bool = False,
    threshold: float = 0.5,
    batch_size: int | None = None,
) -> Report:
    """Measure a model on a data set.

    Args:
        model: a variant; a .keras file, a checkpoint or hf://OWNER/NAME, as for `keras-pvt
            predict`, `detect` and `segment`; or a file written by `keras_pvt.export`.
        data: for a classifier, a folder with a folder for each class, perhaps below one for each
            split; for a detector, a JSON file in COCO's format, or a folder or file in another
            format of docs/data.md; for a segmenter, a folder of images and labels. Except for a
            detector, it may also be the name of a data set of tensorflow-datasets.
        out: folder for report.json, confusion.csv and pictures; None: nothing is written.
        split: split of the data. "val" means the first of "val", "valid", "validation" and "test"
            that exists. A folder without splits is used whole.
        images: folder of the images of a JSON file; by default the JSON file's own.
        format: of the boxes in a folder, such as "voc", see docs/data.md; empty: the only one that
            fits.
        weights: weights of a variant; by default its pretrained ones.
        classes: class names in the order of the outputs, for a model that stores none; for a
            classifier also "imagenet" or "cifar10".
        size: in pixels; for a classifier, the side of the crop; for a segmenter, the shorter side
            that images are scaled to, or 0 for no scaling. By default as the model was trained.
        ignored: for a segmenter, label ids that do not count.
        reduce_zero: whether label id 0 stands for no class, so that the others move down by one.
        threshold: smallest score, 0 to 1, of a box that counts in the confusion matrix.
        batch_size: images in a batch; by default 32 for a classifier, 8 for a detector.
    Returns:
        The report.
    Raises:
        ValueError: model, data and options do not fit each other, or no image can be read.
        OSError: a file cannot be read or written.
        ImportError: a library is not installed; says what to install.
    Example:
        >>> keras_pvt.evaluation.evaluate("pvt_nano", "cifar10").numbers["top1"]
        0.8336
    """
    source = os.fspath(model)
    artifact, task = task_of(source, classes)
    if weights is not None and source not in VARIANTS:
        raise ValueError(f"{source} is a file, which has its own weights; leave out others.")
    if task != "detection" and (images is not None or format):
        raise ValueError(
            f"a folder of images and a format are for detectors; {source} is for {task}."
        )
    if out is not None:
        _check_out(pathlib.Path(out))
    named, where = Named(source, artifact, classes), os.fspath(data)
    evaluation: Evaluation
    if task == "classification":
        found = named.classifier(weights, size)
        pictures, where = _labelled(data, split, where)
        evaluation = ClassifierEvaluation(found, pictures, batch_size or 32)
    elif task == "detection":
        if size is not None:
            raise ValueError("a detector sees images as it was trained; leave out the size.")
        with needed_for("measuring average precision", "detection"):
            import faster_coco_eval  # noqa: F401 - now, not after the images were looked at
        detector, masks = named.detector()
        boxes, outlined, own = open_set(data, images, detector.classes, masks, split, format)
        where = f"{where}, {own}" if own else where
        detect = functools.partial(detector.detect, batch_size=batch_size or 8)
        evaluation = DetectorEvaluation(detect, boxes, outlined, threshold)
    else:
        predictor, names = named.segmenter(size)
        rule = LabelRule(tuple(ignored), reduce_zero)
        files = _files_of(data, split, rule)
        # A model that was trained without names has numbers.
        if files.classes is None or [*names] in (files.classes, [*map(str, range(len(names)))]):
            pairs = files.checked(names)
        else:
            labels = labels_of(files.classes, names)
            pairs = renumbered(files.checked(), labels, names)
        for line in pairs.report.lines():
            print(f"{where}: {line}", file=sys.stderr)
        evaluation = SegmenterEvaluation(predictor, pairs)
    report = evaluation.run(source, where)
    if out is not None:
        report.write(pathlib.Path(out), evaluation.draw)
    return report


def _check_out(folder: pathlib.Path) -> None:
    """Fail before the images are looked at, where the report cannot be written or drawn."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; the report needs a folder.")
    with needed_for("drawing the report", "plot"):
        import matplotlib  # noqa: F401


def _labelled(data: str | os.PathLike, split: str, where: str) -> tuple[Images, str]:
    """The labelled images of a split, or of a folder without splits, and how they are called."""
    folder, report = data_folder(data), DataReport()
    images: Images
    if folder is None:
        images, where = open_images(data, split, report=report), f"{where}, {split}"
    else:
        own = split_folder(folder, split)
        if own is None:
            _check_whole(folder, split)
        else:
            where = f"{where}, {split}"
        images = FolderImages(own or folder, report=report, fewest=1)
    for line in report.lines():
        print(f"{where}: {line}", file=sys.stderr)
    return images, where


def _check_whole(folder: pathlib.Path, split: str) -> None:
    """Hold that a folder without a split has no others either, which would be taken for classes."""
    found = [split_folder(folder, name) for name in ("train", "val", "test")]
    names = list(dict.fromkeys(one.name for one in found if one is not None and has_folders(one)))
    if names:
        raise ValueError(f"{folder} has no split {split!r}; it has {', '.join(names)}.")


def _files_of(data: str | os.PathLike, split: str, rule: LabelRule) -> SplitFiles:
    """The images and labels of a split, or of a folder without splits."""
    try:
        return find_split_files(data, split, rule)
    except FileNotFoundError:
        if data_folder(data) is None:
            raise
        return find_split_files(data, "", rule)
