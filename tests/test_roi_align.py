"""RoIAlign next to the definition, a sample at a time."""

import math

import numpy as np
import pytest
from contracts import gradient, jitted
from keras import ops
from roi_samples import scalar

from keras_pvt.detection.ops import roi_align as module
from keras_pvt.detection.ops.roi_align import box_levels, roi_align, sample_weights

CHANNELS = 3
# A map whose boxes of the finest level may have far fewer cells than it has.
SHAPES = ((64, 100), (32, 50), (16, 25), (8, 12))
HEIGHT, WIDTH = 256, 400
BOXES = {
    "inside": (30.3, 20.9, 70.2, 100.7),
    "a part of a cell": (50.1, 60.2, 51.3, 62.9),
    "at the first corner": (0, 0, 19, 13),
    "at the last corner": (350, 200, 400, 256),
    "a little outside": (-9.5, -3.2, 33.0, 41.0),
    "mostly outside": (-60.0, 230.0, 35.0, 300.0),
    "outside": (500.0, 300.0, 560.0, 340.0),
    "as large as a level has": (33.3, 77.7, 145.2, 189.6),
    "long": (2.5, 100.1, 398.9, 131.0),
    "high": (77.0, -4.0, 120.0, 280.0),
    "of the next level": (33.3, 77.7, 145.4, 189.8),
    "of the third": (100.0, 12.0, 370.0, 240.0),
    "of the last": (-80.0, -60.0, 440.0, 350.0),
    "without width": (40.0, 40.0, 40.0, 60.0),
    "without area": (0.0, 0.0, 0.0, 0.0),
}


def level(box):
    x1, y1, x2, y2 = box
    side = math.sqrt((x2 - x1) * (y2 - y1))
    return min(max(math.floor(math.log2(side / 56 + 1e-6)), 0), 3)


@pytest.fixture(scope="module")
def maps():
    rng = np.random.default_rng(1703)
    return [rng.standard_normal((2, *shape, CHANNELS)).astype("float32") for shape in SHAPES]


@pytest.fixture(scope="module")
def boxes():
    """Of two images, in unlike order."""
    boxes = np.array(list(BOXES.values()), "float32")
    return np.stack([boxes, boxes[::-1]])


def test_level_of_a_box(boxes):
    found = ops.convert_to_numpy(box_levels(ops.convert_to_tensor(boxes[0]), 4, 4))
    assert found.tolist() == [level(box) for box in BOXES.values()]
    higher = {"of the next level": 1, "of the third": 2, "of the last": 3}
    assert {name: n for name, n in zip(BOXES, found, strict=True) if n} == higher


@pytest.mark.parametrize(
    ("size", "singly", "cells"),
    [
        (7, True, None),
        (14, True, None),
        pytest.param(7, False, module.CELLS, marks=pytest.mark.full("as on GPUs, in exports")),
        (14, False, 2**14),
    ],
)
def test_every_part_is_the_mean_of_its_samples(maps, boxes, size, singly, cells, monkeypatch):
    """Box after box, all at once, and a few at a time."""
    monkeypatch.setattr(module, "takes_windows_singly", lambda *_: singly)
    monkeypatch.setattr(module, "CELLS", cells)
    align = jitted(lambda maps, boxes: roi_align(maps, boxes, size))
    found = align([ops.convert_to_tensor(x) for x in maps], ops.convert_to_tensor(boxes))
    found = ops.convert_to_numpy(found)
    assert found.shape == (2, len(BOXES), size, size, CHANNELS)
    for image, number in np.ndindex(boxes.shape[:2]):
        box = boxes[image, number].astype("float64")
        own = level(box)
        wanted = scalar(maps[own][image].astype("float64"), box, 4 * 2**own, size)
        np.testing.assert_allclose(
            found[image, number], wanted, rtol=0, atol=2e-5, err_msg=f"{image} {box}"
        )
    nothing = [list(BOXES).index(name) for name in ("outside", "without width", "without area")]
    assert not found[0, nothing].any()


@pytest.mark.parametrize("singly", [True, False])
def test_gradient_is_that_of_small_steps(maps, boxes, rng, singly, monkeypatch):
    """It is linear in the maps, so that steps may be large."""
    monkeypatch.setattr(module, "takes_windows_singly", lambda *_: singly)
    weights = rng.standard_normal((2, len(BOXES), 7, 7, CHANNELS)).astype("float32")
    weights = ops.convert_to_tensor(weights)

    @jitted
    def weighed(x):
        others = [ops.convert_to_tensor(x) for x in maps[1:]]
        return roi_align([x, *others], ops.convert_to_tensor(boxes), 7) * weights

    step = rng.standard_normal(maps[0].shape).astype("float32")
    found = np.asarray(gradient(weighed, maps[0]))
    change = ops.convert_to_numpy(weighed(ops.convert_to_tensor(step))).astype("float64").sum()
    rest = ops.convert_to_numpy(weighed(ops.zeros(maps[0].shape))).astype("float64").sum()
    np.testing.assert_allclose((found * step).sum(), change - rest, rtol=1e-4)
    assert found[0].any()
    assert found[1].any()


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_gradient_reaches_every_level(maps, boxes, dtype, rng, monkeypatch):
    """Of boxes one by one as of all at once; in half precision where many lie on a cell, too."""
    many = np.tile(boxes, (1, 10, 1))
    weights = ops.convert_to_tensor(rng.uniform(0.5, 1, (2, many.shape[1], 7, 7, 1)), "float32")

    @jitted
    def weighed(*maps):
        found = roi_align([ops.cast(x, dtype) for x in maps], ops.convert_to_tensor(many), 7)
        return ops.cast(found, "float32") * weights

    assert module.takes_windows_singly(list(map(ops.convert_to_tensor, maps)), weights)
    for n, x in enumerate(maps):

        def of_level(x, n=n, whole=weighed):
            return whole(*(ops.convert_to_tensor(m) for m in maps[:n]), x, *maps[n + 1 :])

        found = np.asarray(gradient(of_level, x))
        step = rng.uniform(0.5, 1, x.shape).astype("float32")
        others = [np.zeros_like(m) for m in maps]
        alone = weighed(*map(ops.convert_to_tensor, [*others[:n], step, *others[n + 1 :]]))
        wanted = ops.convert_to_numpy(alone).astype("float64").sum()
        tolerance = 1e-4 if dtype == "float32" else 1e-2
        np.testing.assert_allclose((found.astype("float64") * step).sum(), wanted, rtol=tolerance)


@pytest.mark.parametrize(
    ("length", "size", "samples"), [(6.9, 7, 1), (7.1, 7, 2), (28.5, 7, 5), (3.0, 14, 1), (0, 7, 0)]
)
def test_as_many_samples_as_a_part_has_cells(length, size, samples):
    """Told by where a part's weights lie, within a map that is large enough."""
    low = 20.25
    weigh = jitted(lambda low, high, cells: sample_weights(low, high, cells, size, 80))
    ends = (ops.convert_to_tensor(np.float32(x)) for x in (low, low + length))
    weights = ops.convert_to_numpy(weigh(*ends, ops.convert_to_tensor(np.int32(80))))
    wanted = np.zeros((size, 80))
    for part, n in np.ndindex(size, samples):
        place = low + (part + (n + 0.5) / samples) * length / size
        cell = math.floor(place)
        wanted[part, cell] += (1 - place + cell) / samples
        wanted[part, cell + 1] += (place - cell) / samples
    np.testing.assert_allclose(weights, wanted, rtol=0, atol=1e-5)
