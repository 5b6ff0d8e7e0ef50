"""DETR on small backbones: transformers' DETR, the assignment, losses, layouts and use."""

import keras
import numpy as np
import pytest
import recipe
import small_recipes
from conftest import assert_same, perturb
from contracts import jitted
from keras import ops
from scipy.optimize import linear_sum_assignment

import keras_pvt
from keras_pvt.conversion import CheckpointError, load_checkpoint, model_from_checkpoint, to_torch
from keras_pvt.conversion.recognise import recognised
from keras_pvt.detection import DETR
from keras_pvt.detection.losses.hungarian import assign, hungarian_losses, shortest_augmenting_paths
from keras_pvt.detection.models.detr import DETRPostprocessor
from keras_pvt.ops import CALLS_HOST

# Two heads of 32 channels; all numbers unequal.
OPTIONS = {
    "num_classes": 5,
    "num_queries": 7,
    "embed_dim": 64,
    "depth": 2,
    "num_heads": 2,
    "hidden_dim": 48,
}
# Rows and columns of padding, in one of two images, are cells too.
SIZES = np.array([[96, 128], [60, 90]], "int32")


def one_layer_backbone(channels=28):
    images = keras.Input((None, None, 3), name="images")
    maps = keras.layers.Conv2D(channels, 32, strides=32, name="map")(images)
    backbone = keras.Model(images, maps)
    backbone.pyramid_outputs = {"P5": maps}
    return backbone


@pytest.fixture(scope="module")
def model():
    model = DETR(one_layer_backbone(), **OPTIONS)
    perturb(model)
    return model


@pytest.fixture(scope="module")
def inputs():
    return {"images": recipe.images(96, 128), "sizes": SIZES}


@pytest.fixture(scope="module")
def found(model, inputs):
    """What the model gives."""
    return model.predict_on_batch(inputs)


@pytest.mark.one_backend("Keras saves alike on every backend")
def test_a_plain_functional_backbone_is_kept_with_its_levels(model, inputs, found, tmp_path):
    """Keras's own class of functional models, which has no room for `pyramid_outputs` in a file."""
    model.save(tmp_path / "detr.keras")
    loaded = keras.saving.load_model(tmp_path / "detr.keras")
    for name, value in loaded.predict_on_batch(inputs).items():
        np.testing.assert_array_equal(value, found[name])


@pytest.mark.one_backend("the same graph without one input", full=True)
def test_images_without_padding_need_no_sizes(model, inputs, found):
    plain = DETR(one_layer_backbone(), **OPTIONS, padded=False, auxiliary=False)
    plain.set_weights(model.get_weights())
    answer = plain.predict_on_batch(inputs["images"])
    assert answer["class_logits"].shape == (2, 1, 7, 6)
    np.testing.assert_allclose(answer["boxes"][0, -1], found["boxes"][0, -1], atol=1e-6)
    assert np.abs(answer["boxes"][1, -1] - found["boxes"][1, -1]).max() > 1e-4
    with pytest.raises(ValueError, match="padding need a model that has `padded=True`"):
        plain.padded_detector()


def test_the_surest_queries_are_detections(found):
    scores = np.exp(found["class_logits"][:, -1])
    scores = (scores / scores.sum(-1, keepdims=True))[..., :-1]
    threshold = float(np.sort(scores.max(-1).ravel())[4:6].mean())
    decode = DETRPostprocessor(threshold, max_detections=9)
    outputs = {key: ops.convert_to_tensor(found[key]) for key in ("class_logits", "boxes")}
    answer = decode(outputs, sizes=ops.convert_to_tensor(SIZES))
    answer = {key: ops.convert_to_numpy(value) for key, value in answer.items()}
    assert answer["num_detections"].sum() == 9
    for n, (height, width) in enumerate(SIZES):
        order = [q for q in np.argsort(-scores[n].max(-1)) if scores[n, q].max() > threshold]
        assert answer["num_detections"][n] == len(order)
        x, y, w, h = found["boxes"][n, -1, order].T * [[width], [height], [width], [height]]
        boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
        boxes = boxes.clip(0, [width, height, width, height])
        np.testing.assert_allclose(answer["boxes"][n, : len(order)], boxes, atol=1e-3)
        np.testing.assert_array_equal(
            answer["labels"][n], [*scores[n, order].argmax(-1)] + [-1] * (7 - len(order))
        )
        assert not answer["confidence"][n, len(order) :].any()
        assert not answer["boxes"][n, len(order) :].any()


@pytest.mark.parametrize("solver", [assign, shortest_augmenting_paths] if CALLS_HOST else [assign])
@pytest.mark.parametrize("kind", ["random", "alike", "ties"])
def test_assignment_costs_as_little_as_scipys(solver, kind, rng):
    for problems, rows, columns in ((5, 6, 9), (3, 9, 6)):
        costs = rng.standard_normal((problems, rows, columns))
        if kind == "alike":  # every row wants the same columns
            costs = costs[:, :1] + 0.01 * rng.standard_normal(costs.shape)
        costs = (np.round(costs) if kind == "ties" else costs).astype("float32")
        exists = rng.random((problems, rows)) < 0.7
        owner = jitted(solver)(ops.convert_to_tensor(costs), ops.convert_to_tensor(exists))
        owner = ops.convert_to_numpy(owner)
        assert owner.shape == (problems, columns)
        for own, cost, rows_there in zip(owner, costs, exists, strict=True):
            least = cost[rows_there][linear_sum_assignment(cost[rows_there])]
            (taken,) = np.nonzero(own >= 0)
            assert len(taken) == len(least) == len(set(own[taken]))
            assert rows_there[own[taken]].all()
            assert cost[own[taken], taken].sum() == pytest.approx(least.sum(), abs=1e-4)


@pytest.mark.parametrize("kind", ["random", "alike", "ties"])
def test_many_objects_of_few_queries(kind, rng):
    """Steps look at pairs that there are: as many as the smaller number of them, squared."""
    # Without a compiler the many small steps take long.
    for rows, queries in [(30, 8)] if CALLS_HOST else [(300, 20), (60, 50)]:
        costs = rng.standard_normal((2, rows, queries))
        if kind == "alike":
            costs = costs[:, :1] + 0.01 * rng.standard_normal(costs.shape)
        costs = (np.round(costs) if kind == "ties" else costs).astype("float32")
        exists = np.stack([rng.random(rows) < 0.9, np.arange(rows) < queries // 2])
        owner = jitted(shortest_augmenting_paths)(*map(ops.convert_to_tensor, (costs, exists)))
        for own, cost, there in zip(ops.convert_to_numpy(owner), costs, exists, strict=True):
            (taken,) = np.nonzero(own >= 0)
            assert len(taken) == len(set(own[taken])) == min(queries, there.sum())
            assert there[own[taken]].all()
            least = cost[there][linear_sum_assignment(cost[there])].sum()
            assert cost[own[taken], taken].sum() == pytest.approx(least, abs=1e-3)


def test_assignment_of_costs_that_are_none():
    costs = np.array([[[np.nan, 2.0, 1.0], [1.0, 0.0, np.inf]]], "float32")
    owner = jitted(assign)(ops.convert_to_tensor(costs), ops.ones((1, 2), "bool"))
    np.testing.assert_array_equal(ops.convert_to_numpy(owner), [[-1, 1, 0]])


def overlap(a, b):
    """Generalized intersection over union of two boxes of centre and size."""
    (al, at, ar, ab), (bl, bt, br, bb) = (
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in (a, b)
    )
    both = max(min(ar, br) - max(al, bl), 0) * max(min(ab, bb) - max(at, bt), 0)
    union = a[2] * a[3] + b[2] * b[3] - both
    around = (max(ar, br) - min(al, bl)) * (max(ab, bb) - min(at, bt))
    return both / union - (around - union) / around


def expected_losses(logits, boxes, objects):
    """By loops, of one layer: logits (B, Q, K + 1), boxes (B, Q, 4), pairs of class and box."""
    probability = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    of_class, of_box, of_giou, weight, number = 0.0, 0.0, 0.0, 0.0, 0
    for chance, own, pairs in zip(probability, boxes, objects, strict=True):
        costs = [
            [
                -c[k] + 5 * np.abs(q - box).sum() - 2 * overlap(q, box)
                for c, q in zip(chance, own, strict=True)
            ]
            for k, box in pairs
        ]
        rows, queries = linear_sum_assignment(np.reshape(costs, (len(pairs), len(own))))
        for n in set(range(len(own))) - set(queries):
            of_class -= 0.1 * np.log(chance[n, -1])
            weight += 0.1
        for row, n in zip(rows, queries, strict=True):
            k, box = pairs[row]
            of_class -= np.log(chance[n, k])
            of_box += 5 * np.abs(own[n] - box).sum()
            of_giou += 2 * (1 - overlap(own[n], box))
            weight, number = weight + 1, number + 1
    return of_class / max(weight, 1), of_box / max(number, 1), of_giou / max(number, 1)


@pytest.mark.parametrize("counts", [(3, 1), (0, 0), (1, 0), (9, 2)], ids=str)
def test_losses_of_few_and_many_objects(counts, found, rng):
    """Also of none at all, and of more than there are queries."""
    boxes = rng.uniform(0.2, 0.4, (2, 9, 4)).astype("float32")
    labels = rng.integers(0, 5, (2, 9))
    objects = [
        [(labels[n, m], boxes[n, m]) for m in range(count)] for n, count in enumerate(counts)
    ]
    for n, count in enumerate(counts):
        labels[n, count:] = -1
    boxes[labels < 0] = 0
    losses = jitted(hungarian_losses)(
        *(ops.convert_to_tensor(x) for x in (found["class_logits"], found["boxes"], labels, boxes))
    )
    losses = [ops.convert_to_numpy(loss) for loss in losses]
    for layer in range(2):
        expected = expected_losses(
            found["class_logits"][:, layer], found["boxes"][:, layer], objects
        )
        np.testing.assert_allclose([loss[layer] for loss in losses], expected, rtol=1e-4)


def test_boxes_that_are_none_do_not_count(found):
    logits, boxes = (ops.convert_to_tensor(found[key]) for key in ("class_logits", "boxes"))
    good, padding = [0.4, 0.5, 0.2, 0.3], [0.0] * 4
    bad = [[np.nan, 0.5, 0.2, 0.3], [0.4, 0.5, 0.0, 0.3], [0.4, np.inf, 0.2, 0.3]]
    few, many, none = (
        jitted(hungarian_losses)(
            logits, boxes, np.full((2, len(own)), 3), np.array([own, own], "float32")
        )
        for own in ([padding] * 3 + [good], [*bad, good], np.zeros((0, 4)))
    )
    for a, b in zip(few, many, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=1e-6)
    assert not ops.convert_to_numpy(none.of_box).any()
    assert np.isfinite(ops.convert_to_numpy(none.of_class)).all()


# In the first layer nothing is known of the objects yet, so that what they tell each other is
# the same, whoever is asked. (Nor does a softmax see what is added to every key.)
UNMOVED = tuple(f"decoder0/self_attention/{name}" for name in ("query", "key", "value/kernel"))


@pytest.mark.one_backend("test_every_system.py takes a step on each")
def test_fit_learns(inputs):
    """In a compiled program, where the backend has one; a batch in which an image has nothing."""
    model = DETR(one_layer_backbone(), **OPTIONS, drop_rate=0.0)
    boxes = np.zeros((2, 3, 4), "float32")
    boxes[0, :2] = [[10, 20, 60, 90], [70, 5, 120, 50]]
    labels = {"boxes": boxes, "classes": np.array([[1, 4, -1], [-1, -1, -1]], "int32")}
    before = [x.copy() for x in model.get_weights()]
    model.compile(keras.optimizers.Adam(1e-3))
    logs = model.fit(inputs, labels, batch_size=2, epochs=8, verbose=0).history
    parts = [logs[name] for name in ("class_loss", "box_loss", "giou_loss")]
    np.testing.assert_allclose(np.sum(parts, axis=0), logs["loss"], rtol=1e-5)
    assert logs["loss"][-1] < 0.8 * logs["loss"][0]
    for variable, value in zip(model.weights, before, strict=True):
        moved = np.abs(ops.convert_to_numpy(variable.value) - value).max()
        if not variable.path.startswith(UNMOVED) and not variable.path.endswith("key/bias"):
            assert 0 < moved < 1, variable.path
    with pytest.raises(ValueError, match="without `sample_weight`"):
        model.compute_loss(inputs, labels, None, sample_weight=np.ones(2))


@pytest.fixture(scope="module")
def nano():
    model = DETR(keras_pvt.PVTBackbone("pvt_nano"), **OPTIONS)
    perturb(model)
    return model


@pytest.mark.one_backend("test_detr_goldens.py has numbers on each")
def test_transformers_says_the_same(nano):
    """Of the transformer and heads: the backbone's map is handed over, with the mask."""
    import torch
    import transformers

    outputs = nano.output | {"map": nano.get_layer("stage4_block0").output}
    inputs = {"images": recipe.images(96, 128), "sizes": SIZES}
    found = keras.Model(nano.input, outputs).predict_on_batch(inputs)

    theirs = transformers.DetrForObjectDetection(
        transformers.DetrConfig(
            use_timm_backbone=False,
            backbone_config=transformers.ResNetConfig(
                embedding_size=4,
                hidden_sizes=[4, 4, 4, 256],
                depths=[1, 1, 1, 1],
                layer_type="basic",
                out_features=["stage4"],
            ),
            num_queries=OPTIONS["num_queries"],
            d_model=OPTIONS["embed_dim"],
            encoder_layers=OPTIONS["depth"],
            decoder_layers=OPTIONS["depth"],
            encoder_attention_heads=OPTIONS["num_heads"],
            decoder_attention_heads=OPTIONS["num_heads"],
            encoder_ffn_dim=OPTIONS["hidden_dim"],
            decoder_ffn_dim=OPTIONS["hidden_dim"],
            num_labels=OPTIONS["num_classes"],
        )
    ).eval()

    class Map(torch.nn.Module):
        def forward(self, images, mask):
            cells = torch.from_numpy(found["map"].transpose(0, 3, 1, 2).copy())
            mask = torch.nn.functional.interpolate(mask[None], size=cells.shape[-2:])[0]
            return [(cells, mask.to(torch.bool))]

    theirs.model.backbone = Map()
    state = to_torch(nano, "huggingface")
    body = {key: torch.from_numpy(x) for key, x in state.items() if "backbone" not in key}
    theirs.load_state_dict(body, strict=True)
    mask = np.zeros((2, 96, 128), "float32")
    for image, (height, width) in zip(mask, SIZES, strict=True):
        image[:height, :width] = 1
    with torch.no_grad():
        answer = theirs(torch.zeros(2, 3, 96, 128), torch.from_numpy(mask))
    np.testing.assert_allclose(found["class_logits"][:, -1], answer.logits, atol=1e-5)
    np.testing.assert_allclose(found["boxes"][:, -1], answer.pred_boxes, atol=1e-5)


@pytest.mark.one_backend("moves arrays of weights")
@pytest.mark.parametrize("layout", ["official", "facebook", "huggingface"])
def test_each_layout_goes_both_ways(nano, layout):
    state = to_torch(nano, layout)
    found = recognised({f"module.{key}": array for key, array in state.items()})
    assert (found.system, found.variant) == ("detr", "pvt_nano")
    again, _ = model_from_checkpoint(found, options={"num_heads": OPTIONS["num_heads"]})
    ours, theirs = (model.get_config() for model in (nano, again))
    assert {key: theirs[key] for key in OPTIONS} == {key: ours[key] for key in OPTIONS}
    assert_same(to_torch(again, layout), state)
    assert_same(to_torch(again), to_torch(nano))
    backbone = keras_pvt.PVTBackbone("pvt_nano")
    report = load_checkpoint(backbone, state)
    assert report.skipped.pop("pos_embed4").startswith("in part")
    assert len(state) - len(report.skipped) == len(to_torch(backbone))
    np.testing.assert_array_equal(
        *(model.get_layer("stage4_block0").get_weights()[-1] for model in (backbone, nano))
    )
    with pytest.raises(CheckpointError, match="1 missing"):
        load_checkpoint(again, dict(list(state.items())[:-1]))


@pytest.mark.one_backend("test_every_system.py keeps a file on each")
def test_keras_files_keep_model_and_detector(nano, tmp_path):
    nano.detector().save(tmp_path / "detector.keras")
    nano.save(tmp_path / "model.keras")
    found = recognised(keras_pvt.conversion.read_checkpoint(tmp_path / "model.keras"))
    assert (found.system, found.variant) == ("detr", "pvt_nano")
    built, _ = model_from_checkpoint(found, options={"num_heads": OPTIONS["num_heads"]})
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == nano.get_config()
    for again in (built, loaded):
        assert_same(to_torch(again), to_torch(nano))
    inputs = {"images": recipe.images(64, 80), "sizes": np.array([[64, 80], [40, 50]])}
    detector = keras.saving.load_model(tmp_path / "detector.keras")
    answer, expected = (x.predict_on_batch(inputs) for x in (detector, nano.detector()))
    assert answer.keys() == expected.keys()
    np.testing.assert_allclose(answer["boxes"], expected["boxes"], atol=1e-3)
    assert answer["boxes"].shape == (2, 7, 4)
    assert answer["boxes"][1].max() <= 50 < answer["boxes"][0].max()


OLDER = {
    "official": (
        ("bbox_head.transformer.decoder.post_norm.", "bbox_head.transformer.decoder.norm."),
        (".attentions.0.", ".self_attn."),
        (".attentions.1.", ".multihead_attn."),
        (".ffns.0.", ".ffn."),
    ),
    "huggingface": (
        ("_attn.o_proj.", "_attn.out_proj."),
        (".mlp.fc", ".fc"),
        ("model.backbone.model.", "model.backbone.conv_encoder.model."),
    ),
}


@pytest.mark.one_backend("moves arrays of weights")
@pytest.mark.parametrize("layout", OLDER)
def test_older_names_are_read(nano, layout):
    state = to_torch(nano, layout)
    older = {}
    for key, array in state.items():
        for new, old in OLDER[layout]:
            if new != ".mlp.fc" or "coder.layers." in key:  # the backbone's own have no other
                key = key.replace(new, old)
        older[key] = array
    assert len(older.keys() - state.keys()) > 20
    again = DETR(keras_pvt.PVTBackbone("pvt_nano"), **OPTIONS)
    load_checkpoint(again, older)
    assert_same(to_torch(again, layout), state)


@pytest.mark.one_backend("as the layers get it")
@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_a_recipe_says_how_much_is_dropped(rate):
    model, _ = DETR.from_recipe(small_recipes.small("detr", head_drop=rate, drop_path=0.5), 3)
    layers = [layer for layer in model.layers if layer.name.startswith(("encoder", "decoder"))]
    assert [layer.drop_rate for layer in layers if hasattr(layer, "drop_rate")] == [rate, rate]


@pytest.mark.one_backend("what is said")
def test_numbers_that_are_none():
    backbone = one_layer_backbone()
    with pytest.raises(ValueError, match="divisible by 4; got 30"):
        DETR(backbone, embed_dim=30, num_heads=2)
    with pytest.raises(ValueError, match="`dim` 64 is not divisible by `num_heads` 5"):
        DETR(backbone, embed_dim=64, num_heads=5)
    with pytest.raises(ValueError, match="`count` must be an integer >= 1; got 0"):
        DETR(backbone, num_queries=0, embed_dim=8, num_heads=1, depth=1)
    with pytest.raises(ValueError, match="must be from 0 to 1; got 2"):
        DETRPostprocessor(confidence_threshold=2)
