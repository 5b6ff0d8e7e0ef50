"""Mask R-CNN: files, half precision, images with padding, wrong arguments."""

import contracts
import keras
import numpy as np
import pytest
import recipe
from conftest import SHALLOW, perturb
from detections import assert_end_with_images

import keras_pvt
from keras_pvt.detection import MaskRCNN
from keras_pvt.detection.models.roi_heads import BoxHead, MaskHead
from keras_pvt.detection.ops.anchors import Anchors
from keras_pvt.detection.ops.proposals import Proposals
from keras_pvt.detection.ops.pyramid_decoder import PyramidDecoder

SIZES = np.array([[72, 40], [30, 104]], "float32")


def small(dtype=None, **options):
    backbone = keras_pvt.PVTBackbone(SHALLOW, dtype=dtype)
    model = MaskRCNN(backbone, 3, 12, 24, anchor_side=4, sampled_boxes=20, **options)
    perturb(model)
    return model


@pytest.fixture(scope="module")
def inputs():
    return {"images": recipe.images(72, 104), "sizes": SIZES}


@pytest.fixture(scope="module")
def expected(inputs):
    return small().detector(proposals=40, padded=True).predict_on_batch(inputs)


@pytest.mark.one_backend("test_every_system.py keeps a file on each")
def test_files_keep_model_and_detector(inputs, expected, tmp_path):
    """A rectangle of no multiple; two images, each with boxes that end where it does."""
    model = small()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert again.sampled_boxes == 20
    assert [v.path for v in again.variables] == [v.path for v in model.variables]

    again.detector(proposals=40, padded=True).save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    for key, value in loaded.predict_on_batch(inputs).items():
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=1e-3, err_msg=key)
    assert (expected["num_detections"] > 5).all()
    assert_end_with_images(expected["boxes"], SIZES)
    for masks, count in zip(expected["masks"], expected["num_detections"], strict=True):
        assert masks[:count].min() > 0
        assert masks[:count].max() < 1
        assert not masks[count:].any()


@pytest.mark.one_backend("test_mask_rcnn_goldens.py has numbers on each")
@pytest.mark.parametrize(("policy", "off"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.06)])
def test_half_precision(policy, off, inputs, rng):
    """Boxes are looked at in float32: far on the right, half precision would move them."""
    model, half = small(), small(policy)
    found = half.detector(proposals=40, padded=True).predict_on_batch(inputs)
    assert {str(found[key].dtype) for key in ("boxes", "confidence", "masks")} == {"float32"}
    assert all(np.isfinite(value).all() for value in found.values())
    maps = [rng.standard_normal((1, 16 >> n, 256 >> n, 12)).astype("float32") for n in range(4)]
    boxes = np.array([[[985.3, 20.2, 999.6, 33.7], [1001.2, 5.3, 1013.9, 18.8]]], "float32")
    classes = np.array([[0, 2]], "int32")
    for head, labels in (("box_head", ()), ("mask_head", (classes,))):
        wide, narrow = (
            keras.tree.flatten(
                getattr(one, head)(
                    [keras.ops.cast(x, one.compute_dtype) for x in maps],
                    *map(keras.ops.convert_to_tensor, (boxes, *labels)),
                )
            )
            for one in (model, half)
        )
        for ours, theirs in zip(narrow, wide, strict=True):
            ours, theirs = map(keras.ops.convert_to_numpy, (ours, theirs))
            assert ours.dtype == "float32"
            assert abs(ours - theirs).max() < off * theirs.std(), head


@pytest.mark.one_backend("reads a graph")
def test_boxes_alone():
    """Faster R-CNN: no mask head, no loss of masks, no masks."""
    model = small(masks=False)
    assert "masks" not in model.detector().output
    assert "mask_loss" not in [metric.name for metric in model.metrics]
    assert len(model.variables) < len(small().variables)


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampled_anchors": 0}, "sampled_anchors"),
        ({"head_width": -1}, "head_width"),
        ({"anchor_side": 0}, "`anchor_side` is in cells, above 0; got 0"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        MaskRCNN(keras_pvt.PVTBackbone(SHALLOW), 3, **options)


@pytest.mark.one_backend("what is said")
def test_labels_without_masks_are_named():
    model = small()
    labels = {"boxes": np.zeros((1, 1, 4), "float32"), "classes": np.zeros((1, 1), "int32")}
    with pytest.raises(ValueError, match=r'labels need "masks".*`masks=False`'):
        model.loss_parts(None, labels, {})


@pytest.mark.one_backend("reads configurations")
def test_layers_lose_no_argument_in_a_file():
    options = {"num_classes": 5, "width": 8, "finest": 8}
    made = (
        BoxHead(**options),
        MaskHead(**options, depth=2),
        Proposals(Anchors(side=8, scales=1), per_level=30, count=20, iou_threshold=0.6),
        PyramidDecoder(5, Anchors(), per_level=30),
    )
    for layer in made:
        config = layer.get_config()
        assert contracts.arguments(type(layer)) <= config.keys()
        assert type(layer).from_config(config).get_config() == config


@pytest.mark.parametrize("numbers", [(3, 0), (0, 0), (11, 25)], ids=str)
def test_masks_of_boxes_that_matter_are_those_of_all(numbers, rng):
    """Of each image the first ones; 25 boxes are no whole number of parts on JAX."""
    head = MaskHead(3, 8, depth=1)
    shapes = [(2, 24, 30, 6), (2, 12, 15, 6), (2, 6, 8, 6), (2, 3, 4, 6)]
    head.build(shapes)
    maps = [keras.ops.convert_to_tensor(rng.standard_normal(s), "float32") for s in shapes]
    start = rng.uniform(0, 60, (2, 25, 2))
    boxes = np.concatenate([start, start + rng.uniform(5, 60, (2, 25, 2))], axis=-1)
    boxes, classes = keras.ops.cast(boxes, "float32"), keras.ops.arange(50) % 3
    classes = keras.ops.reshape(classes, (2, 25))
    wanted = keras.ops.convert_to_numpy(head(maps, boxes, classes))
    counts = keras.ops.convert_to_tensor(numbers, "int32")
    found = keras.ops.convert_to_numpy(head(maps, boxes, classes, counts))
    assert found.shape == wanted.shape
    for own, right, number in zip(found, wanted, numbers, strict=True):
        np.testing.assert_allclose(own[:number], right[:number], atol=1e-5)
    if max(numbers) < 15:
        assert not found[:, 20:].any(), "what nobody asked for was computed"
