"""Evaluation of a segmenter on a data set."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_pvt.segmentation.data.samples import SegmentationSet
from keras_pvt.segmentation.inference import Predictor
from keras_pvt.segmentation.metrics import Confusion
from keras_pvt.utils.threads import prefetched, processors, with_bar


def evaluate(
    predictor: Predictor,
    data: SegmentationSet,
    progress: bool = True,
    each: Callable[[int, np.ndarray, np.ndarray], None] | None = None,
) -> dict[str, float]:
    """Predict the images of a data set, and compare with their labels at the images' own sizes.

    Images that cannot be read are reported on stderr and left out.

    Args:
        predictor: predicts as many classes as the data set has.
        data: images and labels.
        progress: whether to draw a bar, on a terminal.
        each: function that is called with the number of each image, its labels and the predicted
            labels.
    Returns:
        "mIoU", "pixel_accuracy", "mean_accuracy" and "IoU NAME" of each class, of all images
        together: 0 to 1, NaN where there is nothing to count. mIoU is the mean over classes that
        occur in labels or predictions.
    Raises:
        ValueError: numbers of classes differ; no image could be read.
    Source:
        mmsegmentation 0.13 mmseg/core/evaluation/metrics.py, `mean_iou`.
    """
    if predictor.num_classes != len(data.classes):
        raise ValueError(
            f"the model gives {predictor.num_classes} classes, and the data have "
            f"{len(data.classes)}."
        )

    def read(number):
        try:
            return number, data.image(number), data.labels(number)
        except (OSError, ValueError) as error:
            return f"{data.name(number)}: {error}"

    confusion, measured = Confusion(data.classes), 0
    with ThreadPoolExecutor(processors()) as pool:
        samples = with_bar(
            prefetched(pool, read, range(len(data)), 2 * processors()),
            len(data),
            "evaluating",
            shown=progress,
        )
        for sample in samples:
            if isinstance(sample, str):
                print(f"not evaluated: {sample}", file=sys.stderr)
            else:
                number, image, labels = sample
                found = predictor.labels(image)
                confusion.add(labels, found)
                measured += 1
                if each is not None:
                    each(number, labels, found)
    if not measured:
        raise ValueError(f"none of {len(data)} images to evaluate on could be read.")
    return confusion.results()
