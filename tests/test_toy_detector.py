"""Adding a detector is its model, its key map and one record: a small one, added here, is converted
both ways, exported, trained and listed like those of the package."""

import keras
import numpy as np
import pytest
from conftest import assert_same, perturb
from keras import ops

import keras_pvt
from keras_pvt import flops, systems
from keras_pvt.cli import main
from keras_pvt.conversion import (
    load_checkpoint,
    model_from_checkpoint,
    read_checkpoint,
    recognised,
    save_checkpoint,
    to_torch,
)
from keras_pvt.conversion.maps.entries import conv, pyramid_map
from keras_pvt.detection.models.base import DetectionModel
from keras_pvt.models.convolution import conv as conv_of
from keras_pvt.models.feature_pyramid import pyramid_maps
from keras_pvt.recipes.detection import DetectionRecipe

pytestmark = pytest.mark.one_backend("the records, not the arithmetic")


@keras.saving.register_keras_serializable("toy")
class Centres(keras.layers.Layer):
    """A box for each cell of a map, and how sure it is."""

    def call(self, logits, sides):
        cells = logits.shape[1] * logits.shape[2]
        confidence = ops.reshape(ops.sigmoid(logits), (-1, cells))
        return {"boxes": ops.reshape(ops.relu(sides), (-1, cells, 4)), "confidence": confidence}


@keras.saving.register_keras_serializable("toy")
class ToyDetector(DetectionModel):
    """Whether there is an object in each cell of the coarsest map, and how large it is."""

    system = "toy"
    loss_names = ("class_loss", "side_loss")

    def __init__(self, backbone, num_classes=1, width=12, name="toy", dtype=None):
        policy = self.policy_for(backbone, dtype)
        (coarsest,) = pyramid_maps(backbone, levels=1)
        x = conv_of(coarsest, width, 3, policy, "toy_tower")
        outputs = {
            "logits": conv_of(x, num_classes, 1, policy, "toy_logits"),
            "sides": conv_of(x, 4, 1, policy, "toy_sides"),
        }
        super().__init__(self.backbone_input(backbone), outputs, name=name)
        self.store_config(backbone, policy, num_classes=num_classes, width=width)
        self.track_losses()

    def loss_parts(self, x, y, y_pred):
        there = ops.cast(ops.max(y["classes"], axis=1) >= 0, "float32")
        losses = ops.mean(y_pred["logits"], axis=(1, 2, 3)) - there, y_pred["sides"] - 1
        return [ops.mean(loss**2) for loss in losses]

    def detector(self):
        return keras.Model(self.input, Centres()(self.output["logits"], self.output["sides"]))

    @classmethod
    def from_arrays(cls, arrays, size=None, logits=False):
        return cls(
            arrays.backbone(*(size or (None, None))),
            num_classes=len(arrays["toy_logits/bias"]),
            width=len(arrays["toy_tower/bias"]),
        )

    @classmethod
    def from_recipe(cls, recipe, num_classes):
        backbone = keras_pvt.PVTBackbone.from_recipe(recipe, input_shape=(64, 96, 3))
        return cls(backbone, num_classes), backbone


def key_map(config, model):
    names = {"head.tower": "toy_tower", "head.cls": "toy_logits", "head.reg": "toy_sides"}
    heads = [entry for theirs, ours in names.items() for entry in conv(theirs, ours)]
    return pyramid_map("backbone.", config) + heads


def cost(config, height, width, classes=1):
    stages = flops.backbone(config, height, width)
    rows, columns, channels = stages[-1].output
    cells = rows * columns
    head = flops.conv(cells, channels, 12, 3) + flops.conv(cells, 12, classes + 4, 1)
    return [*stages, flops.Part("toy head", (rows, columns, classes + 4), head)]


TOY = systems.System(
    "toy",
    title="Toy",
    task="detection",
    model=ToyDetector,
    from_arrays=ToyDetector.from_arrays,
    cost=cost,
    size=(64, 96),
    names={"official": systems.KeyNames(key_map)},
    mark="toy_tower/kernel",
    recipe="keras_pvt.recipes.detection:DetectionRecipe",
    build=ToyDetector.from_recipe,
    trainer="keras_pvt.detection.train:DetectionTrainer",
    serve="keras_pvt.detection.serving:ends_in_boxes",
)


@pytest.fixture(autouse=True)
def record():
    yield systems.register(TOY)
    del systems.SYSTEMS["toy"]


@pytest.fixture
def model():
    toy = ToyDetector(keras_pvt.PVTBackbone("pvt_nano", (64, 96, 3)), num_classes=1)
    perturb(toy)
    return toy


def test_converts_both_ways(model, tmp_path, capsys):
    source, there, back = (tmp_path / name for name in ("a.npz", "b.keras", "c.safetensors"))
    state = to_torch(model)
    save_checkpoint(state, source)
    found = recognised(read_checkpoint(source))
    assert (found.system, found.variant) == ("toy", "pvt_nano")
    again, _ = model_from_checkpoint(found)
    assert_same(to_torch(again), state)
    assert main(["convert", str(source), str(there)]) == 0
    assert "toy on pvt_nano" in capsys.readouterr().out
    assert main(["convert", str(there), str(back)]) == 0
    assert_same(read_checkpoint(back), state)
    assert isinstance(keras.saving.load_model(there), ToyDetector)


def test_backbone_out_of_it(model):
    backbone = keras_pvt.PVTBackbone("pvt_nano")
    report = load_checkpoint(backbone, to_torch(model))
    assert list(report.skipped.values()).count("not part of the backbone") == 6


def test_is_listed(capsys, model):
    assert main(["info", "pvt_nano", "--system", "toy"]) == 0
    out = capsys.readouterr().out
    assert f"{model.count_params():,}" in out
    assert "64x96" in out
    assert "toy head" in out


def test_trains_and_is_exported(tmp_path):
    recipe = DetectionRecipe(system="toy", variant="pvt_nano", weights="none", drop_path=0.0)
    toy, _ = systems.named("toy").load("build")(recipe, 1)
    toy.compile(keras.optimizers.SGD(1e-6))
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 96, 3)).astype("float32")
    labels = {"boxes": np.zeros((4, 2, 4), "float32"), "classes": np.array([[0, -1]] * 4)}
    before = toy.evaluate(images, labels, verbose=0, return_dict=True)["loss"]
    toy.fit(images, labels, batch_size=4, epochs=3, verbose=0)
    assert toy.evaluate(images, labels, verbose=0, return_dict=True)["loss"] < before
    if keras.backend.backend() == "jax":  # another process writes, which does not know the toy
        return
    served = systems.named("toy").load("serve")(toy)
    exported = keras_pvt.export(served, tmp_path / "toy.onnx", "onnx", batch_size=1)
    assert exported.passed
    assert {comparison.output for comparison in exported.comparisons} == {"boxes", "confidence"}
