"""Evaluation of a segmenter on a data set."""

import sys
from concurrent.futures import ThreadPoolExecutor

from keras_pvt.segmentation.data.samples import SegmentationSet
from keras_pvt.segmentation.inference import Predictor
from keras_pvt.segmentation.metrics import Confusion
from keras_pvt.utils.threads import prefetched, processors, with_bar


def evaluate(
    predictor: Predictor, data: SegmentationSet, progress: bool = True
) -> dict[str, float]:
    """Predict the images of a set, and compare with their labels at the images' own sizes.

    Images that cannot be read are named on stderr and left out.

    Args:
        predictor: finds as many classes as the set has.
        data: images and labels.
        progress: whether to draw a bar, on a terminal.
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
            return data.image(number), data.labels(number)
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
                image, labels = sample
                confusion.add(labels, predictor.labels(image))
                measured += 1
    if not measured:
        raise ValueError(f"none of {len(data)} images to evaluate on could be read.")
    return confusion.results()
