"""What a detector finds in an image, and the same in COCO's format of results."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from keras_pvt.detection.data.segmentations import run_lengths


@dataclasses.dataclass(frozen=True)
class Detections:
    """What a detector finds in an image file.

    Args:
        path: of the file.
        boxes: `(N, 4)` float32, xyxy in pixels of the image, clipped to it.
        scores: `(N,)` float32, 0 to 1, falling.
        labels: `(N,)` int, index of the class.
        error: why the file could not be read, in which case there are no boxes; or None.
        size: (height, width) of the image in pixels; None where it could not be read.
        image: uint8 `(H, W, 3)`, where it was asked for; else None.
        masks: `(N, m, m)` float32, 0 to 1, the probability that a part of the box is of the
            object; None for a model that finds boxes only.
    """

    path: pathlib.Path
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    error: str | None = None
    size: tuple[int, int] | None = None
    image: np.ndarray | None = None
    masks: np.ndarray | None = None

    def above(self, threshold: float) -> "Detections":
        """The detections with a score of at least a threshold.

        Args:
            threshold: 0 to 1.
        Returns:
            Detections of this image; this object does not change.
        """
        count = int((self.scores >= threshold).sum())  # scores fall
        return dataclasses.replace(
            self,
            boxes=self.boxes[:count],
            scores=self.scores[:count],
            labels=self.labels[:count],
            masks=None if self.masks is None else self.masks[:count],
        )

    def mask(self, number: int) -> np.ndarray:
        """The pixels of an object.

        Args:
            number: index of the object among the detections.
        Returns:
            bool `(H, W)`, of the size of the image.
        Raises:
            ValueError: there are no masks.
        """
        from keras_pvt.detection.ops.masks import paste_masks

        if self.masks is None or self.size is None:
            raise ValueError("there are boxes only, no masks.")
        row = slice(number, number + 1)
        return paste_masks(self.masks[row], self.boxes[row], *self.size)[0]


class CocoResults:
    """Makes entries of COCO's results.

    Args:
        classes: names, in the order of the labels.
        annotations: JSON file of the set, whose ids are used; None for the names of files, and
            categories that are counted from 1.
    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not in COCO's format, or lacks a class of the detector.
    Source:
        https://cocodataset.org/#format-results
    """

    def __init__(self, classes: Sequence[str], annotations: str | os.PathLike | None = None):
        self.classes = classes
        self.images: dict[str, int] | None = None
        self.categories = {name: n for n, name in enumerate(classes, 1)}
        if annotations is None:
            return
        try:
            content = json.loads(pathlib.Path(annotations).read_bytes())
            self.images = {
                pathlib.Path(entry["file_name"]).name: entry["id"] for entry in content["images"]
            }
            self.categories = {str(one["name"]): one["id"] for one in content["categories"]}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{annotations} is not in COCO's format: {error!r}") from error
        missing = [name for name in classes if name not in self.categories]
        if missing:
            raise ValueError(f"{annotations} has no category {', '.join(missing)}.")

    def entries(self, found: Detections) -> Iterator[dict]:
        """An entry for each detection, the best first.

        Raises:
            ValueError: the annotations do not have the image.
        """
        name = found.path.name
        if self.images is not None and name not in self.images:
            raise ValueError(f"the annotations have no image {name}.")
        masks = () if found.masks is None else run_lengths(map(found.mask, range(len(found.boxes))))
        for n, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
            category = self.classes[found.labels[n]]
            entry = {
                "image_id": name if self.images is None else self.images[name],
                "file_name": name,
                "category_id": self.categories[category],
                "category": category,
                "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                "score": round(float(found.scores[n]), 5),
            }
            yield entry | ({"segmentation": masks[n]} if masks else {})
