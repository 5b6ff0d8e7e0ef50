"""Anchors, what they have to learn of boxes, and the losses, against loops in NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_pvt.detection.losses.focal import anchor_losses, assign_targets, focal_loss
from keras_pvt.detection.ops.anchors import Anchors
from keras_pvt.detection.ops.box_deltas import decode, encode
from keras_pvt.detection.ops.matching import Matcher

# Half the width and height of the anchors of a cell of 8 pixels, from mmdetection.
HALF = [
    (22.627, 11.314),
    (28.509, 14.254),
    (35.919, 17.959),
    (16, 16),
    (20.159, 20.159),
    (25.398, 25.398),
    (11.314, 22.627),
    (14.254, 28.509),
    (17.959, 35.919),
]


def numpy(x):
    return ops.convert_to_numpy(x)


def overlap(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(sizes) - both)


def matched(anchors, boxes, positive, negative, best_from):
    """The rules one after the other, for one anchor after the other."""
    table = np.array([[overlap(box, anchor) for anchor in anchors] for box in boxes])
    result = []
    for column in table.T:
        if column.max() >= positive:
            result.append(int(column.argmax()))
        else:
            result.append(-1 if column.max() < negative else -2)
    for number, row in enumerate(table):
        if best_from is not None and row.max() > 0 and row.max() >= best_from:
            for anchor in np.flatnonzero(row == row.max()):
                result[anchor] = number
    return result


def test_anchors_of_a_level():
    """Centres in the corners of cells, rows first."""
    boxes = numpy(Anchors().of_level(2, 3, 8)).reshape(2, 3, 9, 4)
    np.testing.assert_allclose(boxes[0, 0, :, 2:], HALF, atol=1e-3)
    np.testing.assert_allclose(boxes[0, 0, :, :2], -np.array(HALF), atol=1e-3)
    np.testing.assert_allclose(
        boxes[1, 2] - boxes[0, 0], np.tile([16, 8, 16, 8], (9, 1)), rtol=1e-5
    )
    proposals = Anchors(side=8, scales=1)
    assert proposals.per_cell == 3
    np.testing.assert_allclose(proposals.of_cell(4)[1], [-16, -16, 16, 16])


def test_overlaps_on_the_boundary():
    """A half of a box, exactly: enough where it is the least, too much for background."""
    boxes = ops.array([[0, 0, 8, 8], [100, 100, 108, 116]], "float32")
    # Overlaps of 1/2 with the first, 1/4 with the first, 1/2 with the second, none.
    anchors = [[0, 0, 8, 16], [0, 0, 8, 32], [100, 100, 108, 108], [200, 0, 208, 8]]
    anchors = ops.array(anchors, "float32")
    all_of = [ops.ones((len(x),), "bool") for x in (boxes, anchors)]

    def matches(positive, negative, best_from):
        return numpy(Matcher(positive, negative, best_from)(anchors, boxes, *all_of)).tolist()

    assert matches(0.5, 0.25, None) == [0, -2, 1, -1]
    assert matches(0.75, 0.5, None) == [-2, -1, -2, -1]
    assert matches(0.75, 0.5, 0.5) == [0, -1, 1, -1]
    assert matches(0.75, 0.5, 0.625) == [-2, -1, -2, -1]


def test_deltas_are_inverted_and_limited(rng):
    anchors = np.concatenate([np.zeros((5, 2)), rng.uniform(8, 90, (5, 2))], -1).astype("float32")
    boxes = (anchors + rng.uniform(-3, 3, (5, 4))).astype("float32")
    deltas = numpy(encode(ops.array(boxes), ops.array(anchors)))
    np.testing.assert_allclose(
        numpy(decode(ops.array(deltas), ops.array(anchors))), boxes, atol=1e-4
    )
    width = np.log((boxes[:, 2] - boxes[:, 0]) / anchors[:, 2])
    np.testing.assert_allclose(deltas[:, 2], width, atol=1e-5)
    far = ops.array([[0.5, 0.0, 9.0, -9.0]], "float32")
    box = numpy(decode(far, ops.array([[0, 0, 16, 16]], "float32")))
    np.testing.assert_allclose(box, [[16 - 500, 8 - 0.128, 16 + 500, 8 + 0.128]], rtol=1e-5)


@pytest.mark.parametrize("rule", [(0.5, 0.4, 0.0), (0.7, 0.3, 0.3), (0.5, 0.5, None)])
def test_matches_are_those_of_the_rules(rng, rule):
    """Boxes small and large, one far outside, the last two the same, and each anchor twice."""
    anchors = numpy(Anchors(scales=2).of_level(5, 7, 8))
    anchors += rng.uniform(-2, 2, anchors.shape).astype("float32")  # so that nothing else ties
    anchors = np.concatenate([anchors, anchors])
    corner = rng.uniform(0, 40, (8, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(3, 50, (8, 2))], -1).astype("float32")
    boxes[3] += 500
    boxes[7] = boxes[6]
    usable = rng.random(len(anchors)) < 0.8
    exists = np.arange(9) < 8  # the last is padding, and would suit an anchor
    with_padding = np.concatenate([boxes, anchors[usable][:1]])
    match = numpy(
        Matcher(*rule)(*(ops.convert_to_tensor(x) for x in (anchors, with_padding, exists, usable)))
    )
    assert match.dtype == "int32"
    np.testing.assert_array_equal(match[usable], matched(anchors[usable], boxes, *rule))
    assert set(match[~usable]) == {-2}
    assert len(set(match.tolist())) > 3


def test_focal_loss_is_the_formula(rng):
    logits = (5 * rng.standard_normal((4, 6))).astype("float32")
    labels = np.array([2, -1, 0, 5], "int32")
    there = labels[:, None] == np.arange(6)
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    right = np.where(there, p, 1 - p)
    expected = -np.where(there, 0.25, 0.75) * (1 - right) ** 2 * np.log(right)
    found = focal_loss(ops.array(logits), ops.array(labels))
    np.testing.assert_allclose(numpy(found), expected.sum(-1), rtol=1e-4)


def test_losses_without_objects_and_with_useless_boxes():
    """Padding, a box without area and one with a NaN are the same as no boxes."""
    anchors = Anchors().of_level(3, 4, 8)
    number = anchors.shape[0]
    useless = [[[0, 0, 16, 16], [9, 9, 9, 30], [0, np.nan, 20, 20]]] * 2
    labels = [[-1, 2, 1]] * 2
    logits, deltas = ops.full((2, number, 3), -2.0), ops.ones((2, number, 4))
    results = []
    for boxes, classes in ((useless, labels), (np.zeros((2, 0, 4)), np.zeros((2, 0)))):
        targets = assign_targets(
            anchors, ops.array(boxes, "float32"), ops.array(classes), Matcher()
        )
        assert not numpy(targets.positive).any()
        assert numpy(targets.valid).all()
        results.append([numpy(loss) for loss in anchor_losses(logits, deltas, targets)])
    np.testing.assert_array_equal(results[0], results[1])
    of_class, of_box = results[0]
    p = 1 / (1 + np.exp(2))
    each = 3 * 0.75 * p**2 * np.log(1 / (1 - p))
    np.testing.assert_allclose(of_class, np.full((2, number), each / 2), rtol=1e-4)
    assert not of_box.any()


def test_the_sum_is_divided_by_the_boxes_of_the_batch():
    """An image without boxes counts as one; what is unusable costs nothing."""
    anchors = Anchors().of_level(3, 4, 8)
    boxes = np.stack([numpy(anchors)[[4, 22, 0]] + 1, np.zeros((3, 4))]).astype("float32")
    classes = ops.array([[1, 0, -1], [-1, -1, -1]])
    usable = np.ones((2, anchors.shape[0]), bool)
    usable[:, 50:] = False
    targets = assign_targets(anchors, ops.array(boxes), classes, Matcher(), ops.array(usable))
    found = numpy(targets.positive)
    assert found[0, [4, 22]].all()
    assert not found[1].any()
    assert numpy(targets.labels)[0, [4, 22]].tolist() == [1, 0]
    # logits of 0 cost log 2 times 0.25 x 0.25, or 0.75 x 0.25 where the class is not there.
    number = anchors.shape[0]
    losses = anchor_losses(ops.zeros((2, number, 3)), ops.zeros((2, number, 4)), targets)
    of_class, of_box = (numpy(loss) for loss in losses)
    share = 1 / (found[0].sum() + 1)
    np.testing.assert_allclose(of_class[0, 4], 0.4375 * np.log(2) * share, rtol=1e-5)
    np.testing.assert_allclose(of_class[1, 0], 0.5625 * np.log(2) * share, rtol=1e-5)
    assert not of_class[:, 50:].any()
    side = np.diff(numpy(anchors)[4].reshape(2, 2), axis=0)[0]
    np.testing.assert_allclose(of_box[0, 4], (1 / side).sum() * share, rtol=1e-4)
