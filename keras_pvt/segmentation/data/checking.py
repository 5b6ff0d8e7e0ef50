"""Checks of images and labels before training."""

import dataclasses

import numpy as np

from keras_pvt.segmentation.data.label_files import NoIdsError
from keras_pvt.segmentation.data.samples import LabelRule, Pairs, SegmentationSet
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.images import ImageError
from keras_pvt.utils.threads import each

SHOWN = 5  # ids in a message


@dataclasses.dataclass(frozen=True)
class Finding:
    """A pair, read once.

    Args:
        ids: that occur in it, sorted.
        problem: why it cannot be used: what it is, and where; None if it can be.
    """

    ids: np.ndarray
    problem: tuple[str, str] | None = None


def inspect(pairs: Pairs, description: str) -> list[Finding]:
    """Read every image and every label, by threads, with a bar on terminals.

    Args:
        pairs: the source.
        description: what the bar says.
    """
    return each(lambda number: _finding(pairs, number), range(len(pairs)), description)


def usable(
    pairs: Pairs, findings: list[Finding], rule: LabelRule, classes: int, report: DataReport
) -> list[int]:
    """Numbers of the pairs that can be used.

    Left out are an image or label that cannot be read, a label that has no ids or another size
    than its image, and one whose every pixel is ignored. Of a label with ids that are neither a
    class nor ignored, those pixels are ignored.

    Args:
        pairs: the source.
        findings: what `inspect` returned.
        rule: how ids become labels.
        classes: number of classes.
        report: counts what is wrong.
    """
    numbers = []
    for number, finding in enumerate(findings):
        if finding.problem is not None:
            report.add(*finding.problem)
            continue
        known = finding.ids[rule.known(finding.ids)]
        good = rule.labels(known, classes) < classes
        if not good.all():
            unknown = known[~good]
            for what, those in (
                ("ids", [str(one) for one in unknown[unknown >= 0]]),
                ("colours", [f"#{-1 - one:06x}" for one in unknown[unknown < 0]]),
            ):
                if those:
                    more = " ..." if len(those) > SHOWN else ""
                    report.add(
                        f"label with {what} that none of the {classes} classes has: ignored, as "
                        "by --ignore",
                        f"{pairs.name(number)}, with {', '.join(those[:SHOWN])}{more}",
                    )
        if good.any():
            numbers.append(number)
        else:
            report.add("label whose every pixel is ignored: left out", pairs.name(number))
    return numbers


def lines_on_classes(data: SegmentationSet) -> list[str]:
    """What to say of the classes of a set to train on: which of them no pixel has, and why.

    Args:
        data: from `open_split`.
    Returns:
        Lines, none where every class has pixels.
    """
    found = [data.ids[number] for number in data.numbers if number in data.ids]
    if not found:
        return []
    ids, count = np.unique(np.concatenate(found)), len(data.classes)
    labels = data.rule.labels(ids, count)
    absent = [label for label in range(count) if label not in labels]
    lines = []
    if absent:
        names = ", ".join(data.classes[label] for label in absent)
        lines.append(f"{len(absent)} of {count} classes have no pixel and are not learnt: {names}")
    if len(ids) == 2 and (labels < count).sum() == 1:
        other, free = ids[labels >= count][0], min(absent, default=count) + data.rule.reduce_zero
        lines.append(
            f"the labels hold {ids[0]} and {ids[1]} alone, and {other} is ignored, as it is no "
            f"class; where it stands for one, write {free} in its place"
        )
    return lines


def _finding(pairs: Pairs, number: int) -> Finding:
    none = np.empty(0, int)
    try:
        image = pairs.image(number)
    except (OSError, ImageError) as error:
        return Finding(none, ("image that cannot be read: left out", str(error)))
    try:
        ids = pairs.ids(number)
    except NoIdsError as error:
        return Finding(none, ("label without class ids: left out", str(error)))
    except (OSError, ImageError) as error:
        return Finding(none, ("label that cannot be read: left out", str(error)))
    if ids.shape != image.shape[:2]:
        (height, width), (rows, columns) = image.shape[:2], ids.shape
        where = f"{pairs.name(number)}, {width} x {height}, its label {columns} x {rows}"
        return Finding(none, ("label of another size than its image: left out", where))
    return Finding(np.unique(ids))
