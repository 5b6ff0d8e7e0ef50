"""What `verification` compares."""

import numpy as np
import pytest

from keras_pvt import runtimes
from keras_pvt.exporting import ExportError, verification

pytestmark = pytest.mark.one_backend("reads files")


def test_representative_images_are_compared_one_by_one(monkeypatch):
    seen = []

    def double(images, training):
        return {"y": 2 * images.mean((1, 2))}

    def run(images):
        seen.append(images)
        return {"y": 2 * images.mean((1, 2)) + (len(seen) == 3)}  # wrong in the third call

    monkeypatch.setattr(runtimes, "load", lambda format, path: run)
    images = np.arange(3.0).reshape(3, 1, 1, 1) + np.ones((3, 4, 6, 3))
    shape = (1, 4, 6, 3)
    (row,) = verification.compare(double, "onnx", "model.onnx", shape, images=images)
    assert [batch.shape for batch in seen] == [shape] * 3
    assert (row.output, row.input_shape, row.error, row.passed) == ("y", shape, 1.0, False)
    seen.clear()
    one, two = verification.compare(double, "onnx", "m", (None, None, None, 3), images=images)
    assert one.input_shape[0] == 1
    assert two.input_shape[0] == 2
    np.testing.assert_array_equal(seen[-1][:, 0, 0, 0], [3, 1])  # begun anew to fill up


def test_what_the_runtime_refuses_is_one_line(monkeypatch):
    def refuse(*_):
        raise RuntimeError("INVALID_GRAPH: bound to different types\nand more")

    images = np.zeros((1, 4, 6, 3))
    for load in (refuse, lambda *_: refuse):
        monkeypatch.setattr(runtimes, "load", load)
        with pytest.raises(ExportError, match=r"does not run: .*types and more$"):
            verification.compare(lambda x, training: {}, "onnx", "m", images.shape, images=images)
