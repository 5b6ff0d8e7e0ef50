"""What is frozen stays frozen, layer by layer, in files, configurations and copies."""

import json

import keras
import numpy as np
import pytest
from conftest import SHALLOW, perturb

import keras_pvt
from keras_pvt import layers
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet
from keras_pvt.segmentation import SemanticFPN, Trans2Seg

CLASSES = 3


def backbone(**options):
    return keras_pvt.PVTBackbone(SHALLOW, (64, 96, 3), **options)


def pooled(top, **options):
    """A classifier of one's own on the map of a backbone, its layers the model's own."""
    trunk = backbone(**options)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(trunk.output)
    return keras.Model(trunk.input, top(x))


def nested():
    trunk = keras_pvt.classifier(SHALLOW, include_top=False, pooling="avg", input_shape=(64, 96, 3))
    images = keras.Input((64, 96, 3))
    return keras.Model(images, keras.layers.Dense(CLASSES, name="top")(trunk(images)))


BUILD = {
    "classifier": lambda: keras_pvt.classifier(SHALLOW, input_shape=(64, 96, 3)),
    "backbone": backbone,
    "nested": nested,
    "functional": lambda: pooled(keras.layers.Dense(CLASSES, name="top")),
    "sequential": lambda: keras.Sequential([backbone(), keras.layers.Flatten(name="flat")]),
    "retinanet": lambda: RetinaNet(backbone(), CLASSES, 12, 1),
    "mask_rcnn": lambda: MaskRCNN(backbone(), CLASSES, 12, 16),
    "detr": lambda: DETR(backbone(name="images"), CLASSES, 9, 16, 1, 2, 24),
    "semantic_fpn": lambda: SemanticFPN(backbone(), CLASSES, 16, 8),
    "trans2seg": lambda: Trans2Seg(
        backbone(), CLASSES, embed_dim=16, depth=2, num_heads=4, head_width=8
    ),
}


def inner(owner, path=""):
    """Each layer inside another, by its path."""
    for layer in owner._layers:
        yield path + layer.name, layer
        yield from inner(layer, f"{path}{layer.name}/")


def freeze_stages(model):
    for path, layer in inner(model):
        if path.split("/")[-1].startswith(("stage1", "stage2")):
            layer.trainable = False


def freeze_all_but_norms(model):
    for _, layer in inner(model):
        if not layer._layers:
            layer.trainable = isinstance(layer, keras.layers.LayerNormalization)


def thaw_in_what_is_frozen(model):
    model.trainable = False
    model.trainable = True
    for path, layer in inner(model):
        layer.trainable = False
        if path.endswith(("stage3_block0/attention/query", "box_head/fc1", "decoder0/norm1")):
            layer.trainable = True


FREEZE = {
    "nothing": lambda model: None,
    "whole": lambda model: setattr(model, "trainable", False),
    "thawed again": lambda model: (
        setattr(model, "trainable", False), setattr(model, "trainable", True)
    ),
    "stages": freeze_stages,
    "all but norms": freeze_all_but_norms,
    (HARDEST := "one of a frozen one"): thaw_in_what_is_frozen,
}  # fmt: skip


FULL = pytest.mark.full("each way with each model; the hardest way is for all")
CASES = [
    pytest.param(kind, how, marks=[] if kind == "backbone" or how == HARDEST else FULL)
    for kind in BUILD
    for how in FREEZE
]


def flags(model):
    """Of layers with weights: of others, Keras does not keep all."""
    return {path: layer.trainable for path, layer in inner(model) if layer.weights}


def trainable(model):
    """Paths of weights, without the name of a Sequential, which Keras leaves out at first."""
    return [v.path.removeprefix(f"{model.name}/") for v in model.trainable_variables]


def load(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras", safe_mode=True)


def again(model):
    config = json.loads(json.dumps(model.get_config()))
    return type(model).from_config(config)


@pytest.mark.one_backend("flags of Keras, of which no backend knows", full=True)
@pytest.mark.parametrize(("kind", "how"), CASES)
def test_what_is_frozen_stays_frozen(kind, how, tmp_path):
    model = BUILD[kind]()
    FREEZE[how](model)
    copies = {"file": load(model, tmp_path), "from_config": again(model)}
    # Of a model that is more than its graph, Keras clones the graph alone.
    if kind != "mask_rcnn":
        copies["clone_model"] = keras.models.clone_model(model)
    for way, copy in copies.items():
        if way != "clone_model" or model.trainable:  # the flag of the graph itself, it does not
            assert trainable(copy) == trainable(model), way
        assert flags(copy) == flags(model), way


@pytest.mark.one_backend("flags of Keras, of which no backend knows", full=True)
def test_a_partly_frozen_model_is_saved_with_its_classes(tmp_path):
    model = RetinaNet(backbone(), CLASSES, 12, 1)
    freeze_stages(model)
    keras_pvt.save_model(model, tmp_path / "model.keras", ["a", "b", "c"])
    assert trainable(keras_pvt.load_model(tmp_path / "model.keras").model) == trainable(model)


@pytest.mark.one_backend("flags of Keras, of which no backend knows", full=True)
def test_a_frozen_layer_is_frozen_inside():
    """From its first line, which is how Keras makes it from a configuration."""
    block = layers.EncoderBlock(8, 2, sr_ratio=2, trainable=False)
    block.build((None, 4, 6, 8))
    assert block.trainable_variables == []
    model = keras.Sequential([keras.Input((4, 6, 8)), block])
    assert model.trainable_variables == []
    block.attention.norm.trainable = True
    assert [v.path.split("/")[-2:] for v in model.trainable_variables] == [
        ["norm", "gamma"], ["norm", "beta"],
    ]  # fmt: skip


@pytest.mark.one_backend("what is said")
def test_a_configuration_of_another_layer_is_refused():
    config = layers.FeedForward(8, 12).get_config()
    with pytest.raises(ValueError, match=r"names \['fc3'\], which are none .*: fc1, fc2"):
        layers.FeedForward.from_config({**config, "inner_trainable": {"fc3": False}})


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("nested", "whole backbone"),
        ("functional", "stages"),
        *(
            pytest.param(kind, how, marks=pytest.mark.full("one more way to freeze"))
            for kind, how in (
                ("nested", "stages"),
                ("nested", "all but norms"),
                ("functional", "whole backbone"),
                ("functional", "all but norms"),
            )
        ),
    ],
)
def test_training_goes_on_to_the_same_bits(kind, how, tmp_path, rng):
    """One step, a file and another step are two steps; what is frozen is what it was."""
    model = BUILD[kind]()
    perturb(model)
    if how == "whole backbone":
        for layer in model.layers[:-1]:
            layer.trainable = False
    else:
        FREEZE[how](model)
    x = rng.standard_normal((2, 64, 96, 3)).astype("float32")
    y = np.eye(CLASSES, dtype="float32")[:2]
    before = arrays(model.variables)
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.CategoricalCrossentropy(True))
    model.train_on_batch(x, y)
    loaded = load(model, tmp_path)
    for one in (model, loaded):
        one.train_on_batch(x, y)
    assert loaded.optimizer.iterations == 2
    for ours, theirs in zip(
        arrays(model.variables) + arrays(model.optimizer.variables),
        arrays(loaded.variables) + arrays(loaded.optimizer.variables),
        strict=True,
    ):
        np.testing.assert_array_equal(theirs, ours)
    learnt = {id(v) for v in model.trainable_variables}
    assert 0 < len(learnt) < len(before)
    for variable, old, new in zip(model.variables, before, arrays(model.variables), strict=True):
        assert np.array_equal(old, new) != (id(variable) in learnt), variable.path


def arrays(variables):
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]
