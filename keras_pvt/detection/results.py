"""Detections as COCO's results, which pycocotools and others compare with annotations."""

import json
import os
import pathlib
from collections.abc import Iterator, Sequence

from keras_pvt.detection.data.segmentations import run_lengths
from keras_pvt.detection.detections import Detections


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
