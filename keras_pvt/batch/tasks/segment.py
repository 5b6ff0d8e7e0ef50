"""The class of each pixel, as `keras-pvt segment` finds it."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from keras_pvt.batch.options import Options
from keras_pvt.batch.tasks.wishes import names, wish


def fields(options: Options) -> list[tuple[str, Any]]:
    """A gray PNG of the numbers of classes; or run lengths, row by row."""
    import pyarrow as pa

    size = [("height", pa.int32()), ("width", pa.int32())]
    if options.masks == "png":
        return [*size, ("png", pa.binary())]
    return [*size, ("values", pa.list_(pa.int32())), ("lengths", pa.list_(pa.int32()))]


class Task:
    """See `keras_pvt.batch.tasks`."""

    def __init__(self, options: Options, images: int | None):
        from keras_pvt.engines.tasks import segment_by
        from keras_pvt.segmentation.inference import Predictor
        from keras_pvt.segmentation.trained import TrainedSegmenter

        wanted = wish(options, images)
        file = wanted.file(options.model)
        segmenter = TrainedSegmenter.load(options.model, names(options))
        settings = {"short_side": segmenter.size} | options.segmenter
        self._predictor = Predictor(segmenter.model, **settings)
        segment_by(self._predictor, wanted, file)
        self._png = options.masks == "png"
        self.network = self._predictor.model

    def answers(self, sources: Iterable, batch_size: int) -> Iterator:
        """See `keras_pvt.batch.tasks`; a segmenter gets one image at once."""
        from keras_pvt.utils.image_files import read_in_batches
        from keras_pvt.utils.images import load_image

        for files in read_in_batches(sources, load_image, 1):
            for file in files:
                if file.error is not None:
                    yield None, file.error
                    continue
                labels = self._predictor.labels(file.image)
                columns = {"height": labels.shape[0], "width": labels.shape[1]}
                yield columns | (_png(labels) if self._png else run_lengths(labels)), None


def _png(labels: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(labels).save(file, "PNG")
    return {"png": file.getvalue()}


def run_lengths(labels: np.ndarray) -> dict[str, Any]:
    """Runs of pixels of one class, row by row: `np.repeat(values, lengths)` has them all.

    Args:
        labels: `(H, W)`, integers.
    """
    flat = labels.reshape(-1)
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(np.append(starts, flat.size))
    return {"values": flat[starts].astype("int32"), "lengths": lengths.astype("int32")}
