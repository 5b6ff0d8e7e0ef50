"""What a detector finds in an image."""

import dataclasses
import pathlib

import numpy as np

from keras_pvt.utils.video import Frame


@dataclasses.dataclass(frozen=True)
class Detections:
    """What a detector finds in an image file, or in a frame of a video.

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
        frame: which frame of a video, without its image; None: the file is an image.
    """

    path: pathlib.Path
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    error: str | None = None
    size: tuple[int, int] | None = None
    image: np.ndarray | None = None
    masks: np.ndarray | None = None
    frame: Frame | None = None

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
