"""Data sets of images and labels by name: a folder, or a set of tensorflow-datasets."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from keras_pvt.segmentation.data.checking import Finding, inspect, usable
from keras_pvt.segmentation.data.folders import FolderPairs
from keras_pvt.segmentation.data.layouts import find_layout
from keras_pvt.segmentation.data.samples import MOST_CLASSES, LabelRule, SegmentationSet
from keras_pvt.segmentation.data.tfds import TfdsPairs
from keras_pvt.training.data.opening import data_folder
from keras_pvt.training.data.split import drawn
from keras_pvt.training.data.tfds import find_split
from keras_pvt.utils.data_report import DataReport


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """One split of a data set, of which no image is read yet.

    Args:
        data: the set as the user named it.
        split: as the user named it; empty: all of a folder without splits.
        pairs: images and labels.
        classes: the names that the set itself has for its labels; None where it has none.
        rule: how ids become labels.
        report: counts what is left out.
    """

    data: str
    split: str
    pairs: FolderPairs | TfdsPairs
    classes: Sequence[str] | None
    rule: LabelRule
    report: DataReport

    def checked(self, classes: Sequence[str] | int | None = None) -> SegmentationSet:
        """The split after a check of every file, see `open_split`.

        Args:
            classes: names in the order of the labels, or their number; None: the set's own names,
                or as many as the largest id needs.
        Raises:
            ValueError: no image is left, there are not 1 to 255 classes, or two have one name.
        """
        split, rule = self.split, self.rule
        classes = self.classes if classes is None else classes
        names = None if classes is None else _names(classes)  # an error before minutes of reading
        findings = inspect(self.pairs, f"checking {split or 'images and labels'}")
        if names is None:
            names = _names(_count(findings, rule))
        numbers = usable(self.pairs, findings, rule, len(names), self.report)
        if not numbers:
            where = f" in {split!r}" if split else ""
            lines = [f"{self.data!r} has no image and label to use{where}"]
            raise ValueError("; ".join(lines + self.report.lines()))
        ids = {number: findings[number].ids for number in numbers}
        return SegmentationSet(self.pairs, numbers, names, rule, self.report, ids)


def find_split_files(
    data: str | os.PathLike,
    split: str,
    rule: LabelRule | None = None,
    data_dir: str | os.PathLike | None = None,
) -> SplitFiles:
    """List the images and labels of a split, see `open_split`."""
    rule = LabelRule() if rule is None else rule
    report, name = DataReport(), os.fspath(data)
    folder = data_folder(data)
    if folder is None:
        pairs = TfdsPairs(name, find_split(name, split, data_dir), data_dir)
        return SplitFiles(name, split, pairs, pairs.classes, rule, report)
    layout = find_layout(folder, split, rule, report)
    return SplitFiles(name, split, layout.pairs, layout.classes, rule, report)


def open_split(
    data: str | os.PathLike,
    split: str,
    classes: Sequence[str] | int | None = None,
    rule: LabelRule | None = None,
    data_dir: str | os.PathLike | None = None,
) -> SegmentationSet:
    """One split of a data set, after a check of every file.

    Left out, and counted in the `report` of the result, are an image or a label without its
    partner or that cannot be read, a label of another size than its image or without ids, and
    labels whose every pixel is ignored.

    Args:
        data: a folder, or the name of a set of tensorflow-datasets, such as "scene_parse150". A
            folder has SPLIT and SPLIT_labels, images/SPLIT and labels/SPLIT, or SPLIT/images and
            SPLIT/labels ("annotations" or "masks" may stand for "labels"); or it is laid out as
            Cityscapes or Pascal VOC are.
        split: such as "train" or "val". "val" may also be called "valid" or "validation", or be
            the test split, and "train" may be called "training".
        classes: names in the order of the labels, or the number of classes, which are then called
            by their numbers. By default the names in the folder's classes.txt, one a line, or
            those of the set; failing that, as many as the largest id needs.
        rule: how ids become labels; by default `LabelRule()`.
        data_dir: folder of the sets of tensorflow-datasets; by default its own.
    Returns:
        The images with labels, the class names, and the report.
    Raises:
        OSError: a folder does not exist or cannot be read.
        ImportError: tensorflow-datasets is needed and not installed.
        ValueError: no image is left, there are not 1 to 255 classes, two have one name, or the
            set has no images with labels.
    """
    return find_split_files(data, split, rule, data_dir).checked(classes)


def open_train_and_val(
    data: str | os.PathLike,
    classes: Sequence[str] | int | None = None,
    rule: LabelRule | None = None,
    *,
    train: str = "train",
    val: str = "val",
    data_dir: str | os.PathLike | None = None,
    val_split: float = 0.0,
    seed: int = 0,
) -> tuple[SegmentationSet, SegmentationSet]:
    """The images to train and to validate on, of the same classes: those of the first.

    Args:
        data: a folder, or the name of a set of tensorflow-datasets.
        classes: names in the order of the labels, or the number of classes; by default what the
            folder's classes.txt, the set, or the ids in the labels tell.
        rule: how ids become labels; by default `LabelRule()`.
        train: split to train on.
        val: split to validate on; "val" may also be called "valid" or "validation", or be the test
            split.
        data_dir: folder of the sets of tensorflow-datasets; by default its own.
        val_split: share of the training images to validate on, 0 to 1, where a folder has no
            split for it; 0 for none.
        seed: decides which images these are.
    Returns:
        The images to train on, and those to validate on.
    Raises:
        OSError: a folder does not exist or cannot be read.
        ImportError: tensorflow-datasets is needed and not installed.
        ValueError: no image is left in a split, or there are not 1 to 255 classes.
    """
    folder = data_folder(data)
    if folder is not None and val_split and not _has_split(folder, val):
        whole = open_split(
            data, train if _has_split(folder, train) else "", classes, rule, data_dir
        )
        if len(whole) < 2:
            raise ValueError(f"one image of {os.fspath(data)!r} cannot be split.")
        parts = drawn(len(whole), val_split, seed)
        own, others = ([whole.numbers[n] for n in part] for part in parts)
        return (
            dataclasses.replace(whole, numbers=own),
            dataclasses.replace(whole, numbers=others, report=DataReport()),
        )
    first = open_split(data, train, classes, rule, data_dir)
    return first, open_split(data, val, first.classes, rule, data_dir)


def _has_split(folder: pathlib.Path, split: str) -> bool:
    """Whether a folder has images and labels of a split."""
    try:
        find_layout(folder, split, LabelRule(reduce_zero=True), DataReport())
    except FileNotFoundError:
        return False
    return True


def _names(classes: Sequence[str] | int) -> tuple[str, ...]:
    if isinstance(classes, str):
        raise ValueError(f"`classes` must be names or a number; got the text {classes!r}.")
    names = tuple(map(str, range(classes)) if isinstance(classes, int) else classes)
    if not 0 < len(names) <= MOST_CLASSES:
        raise ValueError(
            f"there must be 1 to {MOST_CLASSES} classes; got {len(names)}. Ids in the files that "
            "are no class can be ignored by the rule."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each class needs a name of its own; twice there: {', '.join(twice)}.")
    return names


def _count(findings: list[Finding], rule: LabelRule) -> int:
    """Classes it takes for the largest id; 1 at least, as all may be ignored."""
    ids = np.concatenate([finding.ids for finding in findings] or [np.empty(0, int)])
    return max(1, int(ids[rule.known(ids)].max(initial=0)) + 1 - rule.reduce_zero)
