"""Proposals next to NumPy, a box at a time, and what is drawn of them."""

import keras
import numpy as np
import pytest
from contracts import jitted
from keras import ops

from keras_pvt.detection.ops.anchors import Anchors
from keras_pvt.detection.ops.proposals import Proposals
from keras_pvt.detection.ops.sampling import sample_boxes

HEIGHT, WIDTH = 48, 80
SHAPES = {"P3": (6, 10), "P4": (3, 5)}
RATIOS = (0.5, 1.0, 2.0)
SIDE, PER_LEVEL, COUNT, THRESHOLD = 3.0, 60, 40, 0.6


def overlap(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return width * height / (sum(areas) - width * height)


def of_level(logits, deltas, stride, height, width):
    """Boxes and logits that stay of one level of one image, the best first."""
    found = []
    for y, x, a in np.ndindex(logits.shape):
        wide, high = SIDE * stride / RATIOS[a] ** 0.5, SIDE * stride * RATIOS[a] ** 0.5
        right, down, wider, higher = deltas[y, x, 4 * a : 4 * a + 4]
        cx, cy = x * stride + right * wide, y * stride + down * high
        wide, high = wide * np.exp(wider), high * np.exp(higher)
        box = np.array([cx - wide / 2, cy - high / 2, cx + wide / 2, cy + high / 2])
        found.append((logits[y, x, a], np.clip(box, 0, [width, height, width, height])))
    found.sort(key=lambda one: -one[0])
    stay = []
    for score, box in found[:PER_LEVEL]:
        if not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
            continue
        if all(overlap(box, other) <= THRESHOLD for _, other in stay):
            stay.append((score, box))
    return stay


@pytest.fixture(scope="module")
def maps():
    """Of two images; one anchor says NaN, and many of the first image's lie beyond its edge."""
    rng = np.random.default_rng(1506)
    logits = {k: rng.normal(0, 2, (2, *shape, 3)).astype("float32") for k, shape in SHAPES.items()}
    deltas = {k: rng.normal(0, 0.4, (2, *s, 12)).astype("float32") for k, s in SHAPES.items()}
    logits["P3"][0, 2, 2, 1] = 9
    deltas["P3"][0, 2, 2, 6] = np.nan
    return logits, deltas


@pytest.mark.parametrize("padded", [False, True])
def test_proposals_are_those_that_stay(maps, padded):
    sizes = np.array([[20, 30], [HEIGHT, WIDTH]] if padded else [[HEIGHT, WIDTH]] * 2, "float32")
    layer = Proposals(Anchors(SIDE, 1, RATIOS), PER_LEVEL, COUNT, THRESHOLD)
    layer = Proposals.from_config(layer.get_config())
    name = "sizes" if padded else "images"
    frame = sizes if padded else np.zeros((2, HEIGHT, WIDTH, 1), "float32")
    propose = jitted(lambda logits, deltas, frame: layer(logits, deltas, **{name: frame}))
    inputs = keras.tree.map_structure(ops.convert_to_tensor, (*maps, frame))
    boxes, scores = map(ops.convert_to_numpy, propose(*inputs))
    assert boxes.shape == (2, COUNT, 4)
    assert scores.shape == (2, COUNT)
    counts = []
    for image, size in enumerate(sizes):
        wanted = []
        for level, stride in (("P3", 8), ("P4", 16)):
            wanted += of_level(maps[0][level][image], maps[1][level][image], stride, *size)
        wanted.sort(key=lambda one: -one[0])
        counts.append(len(wanted))
        wanted = wanted[:COUNT]
        count = len(wanted)
        np.testing.assert_allclose(
            scores[image, :count], [1 / (1 + np.exp(-score)) for score, _ in wanted], atol=1e-6
        )
        np.testing.assert_allclose(boxes[image, :count], [box for _, box in wanted], atol=1e-4)
        assert not boxes[image, count:].any()
        assert (scores[image, count:] == -1).all()
    assert (counts[0] < COUNT) == padded  # both kinds
    assert counts[1] > COUNT


def test_unknown_sizes_give_as_many_places():
    layer = Proposals(Anchors(SIDE, 1), PER_LEVEL, COUNT)
    logits = {level: keras.KerasTensor((None, None, None, 3)) for level in SHAPES}
    deltas = {level: keras.KerasTensor((None, None, None, 12)) for level in SHAPES}
    images = keras.KerasTensor((None, None, None, 3))
    boxes, scores = layer.compute_output_spec(logits, deltas, images=images)
    assert (boxes.shape, scores.shape) == ((None, COUNT, 4), (None, COUNT))
    logits = {level: keras.KerasTensor((None, *shape, 3)) for level, shape in SHAPES.items()}
    layer = Proposals(Anchors(SIDE, 1), 20, COUNT)
    boxes, _ = layer.compute_output_spec(logits, deltas, images=images)
    assert boxes.shape == (None, 40, 4)
    layer = Proposals(Anchors(SIDE, 1), 50, 100)
    boxes, _ = layer.compute_output_spec(logits, deltas, images=images)
    assert boxes.shape == (None, 50 + 45, 4)


@jitted
def drawn_of(kinds):
    """16 of boxes `(B, 100)`, at most 4 of them of kind 0, and else of kind 1."""
    return tuple(sample_boxes(kinds == 0, kinds == 1, 16, 4, seed=7))


@pytest.mark.parametrize(
    ("objects", "others", "with_object", "without"),
    [(30, 60, 4, 12), (2, 60, 2, 14), (0, 60, 0, 16), (30, 5, 4, 5), (3, 0, 3, 0), (0, 0, 0, 0)],
)
def test_as_many_are_drawn_as_there_may_be(rng, objects, others, with_object, without):
    kinds = np.full((2, 100), 2)  # neither
    kinds[:, :objects], kinds[:, objects : objects + others] = 0, 1
    kinds = rng.permuted(kinds, axis=1)
    found = drawn_of(ops.convert_to_tensor(kinds, "int32"))
    index, positive, drawn = map(ops.convert_to_numpy, found)
    assert index.shape == positive.shape == drawn.shape == (2, 16)
    for own, places, is_positive, is_drawn in zip(kinds, index, positive, drawn, strict=True):
        assert is_positive.tolist() == [True] * with_object + [False] * (16 - with_object)
        assert is_drawn.sum() == with_object + without
        assert is_drawn[: with_object + without].all()
        assert (own[places[is_positive]] == 0).all()
        assert (own[places[is_drawn & ~is_positive]] == 1).all()
        assert len(set(places[is_drawn])) == with_object + without
        assert (places >= 0).all()
        assert (places < 100).all()


def test_every_box_of_every_image_has_the_same_chance():
    times = 500
    kinds = np.tile(np.arange(100, dtype="int32") % 2, (times, 1))
    found = drawn_of(ops.convert_to_tensor(kinds))
    index, _, drawn = map(ops.convert_to_numpy, found)
    assert drawn.all()
    counts = np.bincount(index.ravel(), minlength=100)
    for kind, share in ((0, 4 / 50), (1, 12 / 50)):
        counted = counts[kinds[0] == kind]
        assert counted.mean() == pytest.approx(times * share)
        # Five deviations of a binomial number.
        assert abs(counted - times * share).max() < 5 * (times * share * (1 - share)) ** 0.5


def test_a_seed_generator_draws_anew():
    seed = keras.random.SeedGenerator(3)
    again = keras.random.SeedGenerator(3)
    all_of = ops.ones((1, 100), "bool")
    first, second, third = (
        ops.convert_to_numpy(sample_boxes(all_of, ops.logical_not(all_of), 16, 4, one).index)[0, :4]
        for one in (seed, seed, again)
    )
    assert set(first) != set(second)
    np.testing.assert_array_equal(first, third)
