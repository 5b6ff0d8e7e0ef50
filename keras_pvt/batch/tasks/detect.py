"""Objects, as `keras-pvt detect` finds them."""

from collections.abc import Iterable, Iterator
from typing import Any

from keras_pvt.batch.options import Options
from keras_pvt.batch.tasks.wishes import names, wish


def fields(options: Options) -> list[tuple[str, Any]]:
    """Boxes (left, top, right, bottom, in pixels of the image), the best first; masks as COCO's
    compressed run lengths."""
    import pyarrow as pa

    found = [
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("boxes", pa.list_(pa.list_(pa.float32(), 4))),
        ("scores", pa.list_(pa.float32())),
        ("labels", pa.list_(pa.int32())),
        ("classes", pa.list_(pa.string())),
    ]
    if options.masks is not None:
        found.append(("masks", pa.list_(pa.string())))
    return found


class Task:
    """See `keras_pvt.batch.tasks`."""

    def __init__(self, options: Options, images: int | None):
        from keras_pvt.detection.detector import Detector
        from keras_pvt.engines.tasks import detector_by
        from keras_pvt.utils.extras import needed_for

        wanted = wish(options, images)
        file = wanted.file(options.model)
        detector = Detector.load(options.model, names(options))
        self._detector = detector_by(detector, wanted, file)
        self._threshold, self._masks = options.threshold, options.masks
        if self._masks is not None:
            with needed_for("run lengths of masks", "detection"):
                import pycocotools  # noqa: F401
        self.network = getattr(self._detector.finder, "network", detector.model)

    def answers(self, sources: Iterable, batch_size: int) -> Iterator:
        """See `keras_pvt.batch.tasks`."""
        for found in self._detector.detect(sources, batch_size):
            if found.error is not None or found.size is None:
                yield None, found.error
                continue
            height, width = found.size
            found = found.above(self._threshold)
            columns = {
                "height": height,
                "width": width,
                "boxes": found.boxes.tolist(),
                "scores": found.scores.tolist(),
                "labels": found.labels.tolist(),
                "classes": [self._detector.classes[label] for label in found.labels],
            }
            if self._masks is not None:
                columns["masks"] = _run_lengths(found)
            yield columns, None


def _run_lengths(found) -> list[str] | None:
    """Of each object; None of a model that finds boxes alone."""
    from keras_pvt.detection.data.segmentations import run_lengths

    if found.masks is None:
        return None
    masks = run_lengths(map(found.mask, range(len(found.boxes))))
    return [one["counts"] for one in masks]
