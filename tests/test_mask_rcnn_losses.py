"""The losses of Mask R-CNN next to NumPy, where all there is to draw from is drawn."""

import keras
import numpy as np
import pytest
from conftest import perturb
from contracts import jitted
from keras import ops
from roi_samples import scalar

import keras_pvt
from keras_pvt.detection import MaskRCNN
from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.detection.ops.masks import crop_masks
from keras_pvt.detection.ops.matching import BACKGROUND, IGNORED

HEIGHT, WIDTH, CLASSES = 64, 96, 3
# Two that nearly coincide, so that a proposal fits both; one that reaches out of the image.
BOXES = [
    [[16.7, 9.3, 50.1, 40.4], [19.2, 10.1, 52.9, 42.7], [57.3, 10.2, 120.1, 75.4], [0, 0, 0, 0]],
    [[5.0, 5.0, 5.0, 30.0], [np.nan, 0, 4, 4], [0, 0, 0, 0], [0, 0, 0, 0]],
]
LABELS = [[2, 0, 1, -1], [1, 1, -1, -1]]
SEED = 1  # of outputs that need every rule of the matching, as is asserted


def array(tree):
    return keras.tree.map_structure(ops.convert_to_numpy, tree)


def tensor(tree):
    return keras.tree.map_structure(ops.convert_to_tensor, tree)


def overlaps(boxes, others):
    """Intersection over union, `(N, M)`."""
    boxes, others = boxes[:, None].astype("float64"), others[None].astype("float64")
    low, high = np.maximum(boxes, others)[..., :2], np.minimum(boxes, others)[..., 2:]
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [(x[..., 2:] - x[..., :2]).prod(axis=-1) for x in (boxes, others)]
    return shared / (areas[0] + areas[1] - shared)


def assigned(candidates, boxes, positive, negative, best_from):
    """The box of each candidate, as upstream's maximal overlaps have it."""
    match = np.full(len(candidates), IGNORED)
    if not len(boxes):
        return np.full(len(candidates), BACKGROUND)
    shared = overlaps(boxes, candidates)
    most = shared.max(axis=0)
    match[most < negative] = BACKGROUND
    match[most >= positive] = shared.argmax(axis=0)[most >= positive]
    for number, own in enumerate(shared):
        best = own.argmax()
        assert np.partition(own, -2)[-2] < own[best] - 1e-5  # which would be a matter of rounding
        if own[best] >= best_from:
            match[best] = number
    return match


def deltas_to(boxes, sources):
    (x, y, w, h), (a, b, c, d) = (
        ((o[:, 0] + o[:, 2]) / 2, (o[:, 1] + o[:, 3]) / 2, o[:, 2] - o[:, 0], o[:, 3] - o[:, 1])
        for o in (boxes.astype("float64"), sources.astype("float64"))
    )
    return np.stack([(x - a) / c, (y - b) / d, np.log(w / c), np.log(h / d)], axis=-1)


def softplus(x):
    return np.logaddexp(0, x.astype("float64"))


@pytest.fixture(scope="module")
def model():
    model = MaskRCNN(
        keras_pvt.PVTBackbone("pvt_nano", (HEIGHT, WIDTH, 3)),
        CLASSES,
        neck_width=8,
        head_width=16,
        sampled_anchors=20_000,
        sampled_boxes=1_000,
        compared_anchors=600,
        proposals=100,
    )
    perturb(model)
    return model


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(17)
    boxes = np.array(BOXES, "float32")
    masks = rng.random((*boxes.shape[:2], HEIGHT // 8, WIDTH // 8)) < 0.5
    masks = masks.repeat(8, axis=-2).repeat(8, axis=-1).astype("uint8")
    return {"boxes": boxes, "classes": np.array(LABELS, "float32"), "masks": masks}


@pytest.fixture(scope="module")
def outputs(model, labels):
    """What a first stage might say: proposals near the anchors, the best near true boxes."""
    rng = np.random.default_rng(SEED)

    def maps(width, deviation):
        return {
            level: rng.normal(0, deviation, (2, HEIGHT >> n, WIDTH >> n, width)).astype("float32")
            for n, level in enumerate(("P1", "P2", "P3", "P4", "P5"), start=1)
        }

    pyramid, logits = maps(8, 1), maps(3, 2)
    pyramid.pop("P5")
    boxes, _, _ = true_boxes(labels, 0)
    for level, anchors in array(model.anchors.of_maps(logits)).items():
        near = overlaps(boxes, anchors).max(axis=0)
        logits[level][0] += 10 * near.reshape(logits[level][0].shape)
    return {"pyramid": pyramid, "proposal_logits": logits, "proposal_deltas": maps(12, 0.05)}


@pytest.fixture(scope="module")
def found(model, labels, outputs):
    """Proposals, and the losses."""

    def program(images, labels, outputs):
        with keras.StatelessScope():  # else JAX's random numbers would outlive their program
            losses = model.loss_parts(images, labels, outputs)
            proposals = model.proposals(
                outputs["proposal_logits"], outputs["proposal_deltas"], images=images
            )
        return *proposals, losses

    images = np.zeros((2, HEIGHT, WIDTH, 1), "float32")
    return array(jitted(program)(*tensor((images, labels, outputs))))


def true_boxes(labels, image):
    """The boxes of an image that count, their classes and masks."""
    boxes, classes = labels["boxes"][image], labels["classes"][image]
    counts = (classes >= 0) & ((boxes[:, 2:] - boxes[:, :2]) > 0).all(axis=-1)
    return boxes[counts], classes[counts].astype(int), labels["masks"][image][counts]


def test_proposal_losses(model, labels, outputs, found):
    anchors = np.concatenate(
        array(list(model.anchors.of_maps(outputs["proposal_logits"]).values()))
    )
    of_class = of_box = number = 0
    for image in range(2):
        boxes, _, _ = true_boxes(labels, image)
        logits, deltas = (
            np.concatenate([x[image].reshape(-1, width) for x in outputs[key].values()])
            for key, width in (("proposal_logits", 1), ("proposal_deltas", 4))
        )
        match = assigned(anchors, boxes, 0.7, 0.3, 0.3)
        positive, negative = match >= 0, match == BACKGROUND
        of_class += softplus(-logits[positive]).sum() + softplus(logits[negative]).sum()
        number += max(1, positive.sum()) + max(1, negative.sum())
        if image == 0:
            assert positive.sum() >= 3
            assert (match == IGNORED).any()
            aims = deltas_to(boxes[match[positive]], anchors[positive])
            of_box += abs(deltas[positive] - aims).sum()
    np.testing.assert_allclose(found[2][:2], [of_class / number, of_box / number], rtol=2e-5)


@pytest.fixture(scope="module")
def second(model, labels, outputs, found):
    """Of each image the boxes to learn from, the true box of each, and what the heads say."""
    proposals, scores, _ = found
    images = []
    for image in range(2):
        boxes, classes, masks = true_boxes(labels, image)
        own = proposals[image][scores[image] >= 0]
        match = np.concatenate([np.arange(len(boxes)), assigned(own, boxes, 0.5, 0.5, 0.5)])
        if image == 0:
            assert (np.bincount(match[match >= 0], minlength=3) >= 2).all()
            assert (match[3:] != assigned(own, boxes, 0.5, 0.5, np.inf)).any()
        images.append((np.concatenate([boxes, own]), match, boxes, classes, masks))
    most = max(len(own) for own, *_ in images)
    padded = np.stack([np.pad(own, ((0, most - len(own)), (0, 0))) for own, *_ in images])
    kinds = [np.where(match < 0, 0, classes[match]) if len(classes) else match * 0
             for _, match, _, classes, _ in images]  # fmt: skip
    kinds = np.stack([np.pad(kind, (0, most - len(kind))) for kind in kinds]).astype("int32")
    maps = [outputs["pyramid"][level] for level in model.levels]

    def program(maps, boxes, kinds):
        inside = box_ops.clip(boxes, (HEIGHT, WIDTH))
        return (*model.box_head(maps, boxes), model.mask_head(maps, inside, kinds))

    heads = array(jitted(program)(tensor(maps), tensor(padded), tensor(kinds)))
    return images, heads


def test_box_losses(labels, found, second):
    images, (logits, deltas, _) = second
    of_class = of_box = number = 0
    for image, (candidates, match, boxes, classes, _) in enumerate(images):
        for row, (own, true) in enumerate(zip(candidates, match, strict=True)):
            label = classes[true] if true >= 0 else CLASSES
            said = logits[image, row].astype("float64")
            of_class += np.log(np.exp(said).sum()) - said[label]
            number += 1
            if true >= 0:
                aims = deltas_to(boxes[[true]], own[None])[0] / [0.1, 0.1, 0.2, 0.2]
                of_box += abs(deltas[image, row, label] - aims).sum()
    np.testing.assert_allclose(found[2][2:4], [of_class / number, of_box / number], rtol=2e-5)


def test_mask_loss(found, second):
    images, (*_, logits) = second
    losses = []
    for image, (candidates, match, _, _, masks) in enumerate(images):
        for row in np.flatnonzero(match >= 0):
            box = np.clip(candidates[row], 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
            truth = scalar(masks[match[row]][..., None].astype("float64"), box, 1, 28) >= 0.5
            said = logits[image, row]
            losses.append(softplus(np.where(truth[..., 0], -said, said)).mean())
    np.testing.assert_allclose(found[2][4], np.mean(losses), rtol=1e-4)


def test_masks_are_cropped_by_their_definition(labels):
    """Boxes of either image, each with a mask of its own."""
    boxes = np.array([[[3.3, 4.1, 40.7, 60.2], [0, 0, 96, 64], [50.5, 20.5, 53.5, 21.1]]] * 2)
    boxes[1] += 0.25
    index = np.array([[2, 0, 1], [1, 3, 0]], "int32")
    crop = jitted(lambda masks, boxes, index: crop_masks(masks, boxes, index, 28))
    found = array(crop(*tensor((labels["masks"], boxes.astype("float32"), index))))
    for image, number in np.ndindex(2, 3):
        mask = labels["masks"][image, index[image, number]][..., None].astype("float64")
        wanted = scalar(mask, boxes[image, number], 1, 28)[..., 0]
        clear = abs(wanted - 0.5) > 1e-4
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(found[image, number][clear], (wanted >= 0.5)[clear])
