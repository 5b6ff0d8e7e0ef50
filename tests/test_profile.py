"""`keras-pvt profile`: where the time of a training goes, on each backend and for each system."""

import json
import time

import keras
import pytest
import small_recipes
from conftest import SHALLOW
from detection_data import HEIGHT, WIDTH, write_set
from keras import ops

from keras_pvt.classification.train import ClassificationTrainer
from keras_pvt.cli import main
from keras_pvt.training import profile
from keras_pvt.training.augmentation import TrainTransform
from keras_pvt.training.profiling import measuring
from keras_pvt.variants import VARIANTS

PARTS = ["input", "forward", "backward", "optimizer"]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(VARIANTS, "tiny", SHALLOW)
    monkeypatch.chdir(tmp_path)


def small(system):
    return small_recipes.small(system, "tiny")


# Of Trans2Seg's last block most is there for official checkpoints only.
@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables .'decoder0:UserWarning")
@pytest.mark.full("compiles three functions of each system")
@pytest.mark.parametrize("system", small_recipes.RECIPES)
def test_the_parts_sum_to_the_step(system, tmp_path):
    recipe = small(system)
    found = profile(recipe, 3)
    assert (found.system, found.policy, found.steps) == (system, "float32", 3)
    assert found.batch_size == recipe.batch_size
    assert list(found.seconds) == PARTS
    assert min(found.shares[part] for part in PARTS[:3]) > 0
    assert found.shares["optimizer"] >= 0
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.images_per_second == pytest.approx(recipe.batch_size / sum(found.seconds.values()))
    assert found.input_images_per_second > 0
    assert found.compile_seconds > 0
    assert found.shapes >= 1
    assert found.validation_share is None
    assert not list(tmp_path.iterdir())  # no folder of a run


def heavy(x):
    """A number that takes long: 0 but for rounding, though no compiler knows it."""
    numbers = ops.full((200_000,), 0.5) + 1e-30 * ops.mean(x)
    numbers = ops.fori_loop(0, 800, lambda _, numbers: ops.sin(numbers), numbers)
    return 1e-30 * ops.mean(numbers)


def slow_input(monkeypatch):
    call = TrainTransform.__call__

    def slow(*arguments):
        time.sleep(0.3)
        return call(*arguments)

    monkeypatch.setattr(TrainTransform, "__call__", slow)
    monkeypatch.setattr("keras_pvt.training.data.threaded.processors", lambda: 1)


def slow_forward(monkeypatch):
    compiled = ClassificationTrainer.compiled

    class Slow(keras.losses.CategoricalCrossentropy):
        def call(self, y_true, y_pred):
            return super().call(y_true, y_pred) + heavy(ops.stop_gradient(y_pred))

    def with_loss(trainer, steps):
        model, whole = compiled(trainer, steps)
        whole.compile(whole.optimizer, Slow(from_logits=True))
        return model, whole

    monkeypatch.setattr(ClassificationTrainer, "compiled", with_loss)


def slow_optimizer(monkeypatch):
    class Slow(keras.optimizers.SGD):
        def apply(self, grads, trainable_variables=None):
            first, *others = grads
            super().apply([first + heavy(first), *others], trainable_variables)

    monkeypatch.setattr(ClassificationTrainer, "optimizer", lambda *_, **__: Slow(1e-3))


@pytest.mark.full("compiles three functions each")
@pytest.mark.parametrize("slow", [slow_input, slow_forward, slow_optimizer])
def test_what_is_slow_shows_where_it_is(slow, monkeypatch):
    slow(monkeypatch)
    found = profile(small("classifier"), 4)
    part = slow.__name__.removeprefix("slow_")
    assert max(found.shares, key=found.shares.get) == part, found.shares
    assert found.shares[part] > 0.5
    if part == "input":
        assert 0.5 / 0.3 < found.input_images_per_second <= 1 / 0.3


@pytest.mark.one_backend("reads and augments")
@pytest.mark.full("waits for a slow input")
def test_what_is_made_before_the_clock_starts_does_not_count(monkeypatch):
    """One thread takes 0.3 s for an image; time to make batches passes before the first clock."""
    slow_input(monkeypatch)
    timed, waits = measuring._timed, iter([2.0])

    def late(*arguments):
        time.sleep(next(waits, 0))
        return timed(*arguments)

    monkeypatch.setattr(measuring, "_timed", late)
    assert profile(small("classifier"), 1).input_images_per_second <= 1 / 0.3


@pytest.mark.one_backend("test_the_parts_sum_to_the_step has a profile on each")
def test_the_share_of_validation(rng, tmp_path):
    files = {part: write_set(tmp_path / part, 4, rng) for part in ("train", "val")}
    recipe = small("retinanet").replace(
        data=str(files["train"]),
        images=str(files["train"].parent / "images"),
        val_data=str(files["val"]),
        val_images=str(files["val"].parent / "images"),
        size=f"{HEIGHT}x{WIDTH}",
        evaluate_every=3,
    )
    found = profile(recipe, 1, validation=True)
    assert found.steps_between == 6  # 3 epochs of 2 steps
    assert found.validation_seconds > 0
    training = 6 * found.step_seconds
    whole = training + found.validation_seconds
    assert found.validation_share == pytest.approx(found.validation_seconds / whole)


@pytest.mark.one_backend("what the command says")
def test_the_command(capsys, tmp_path):
    words = ["profile", "cifar10_pvt_nano", "--variant=tiny", "--size=64", "--batch-size=4"]
    words += ["--generated", "3", "--timed=2"]
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == (
        "classifier on tiny, batch 4, on one device by torch, float32; generated images"
    )
    assert "images/s" in out[1]
    assert [line.split()[0] for line in out[2:]] == PARTS
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)  # and nothing else
    assert (found["batch_size"], found["steps"], found["backend"]) == (4, 2, "torch")
    assert found["data"] == "generated images"
    assert list(found["shares"]) == PARTS
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert not list(tmp_path.iterdir())


@pytest.mark.one_backend("what the command says")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--generated", "--validation"], "validation is measured on your own data"),
        (["--data=absent"], "absent"),
        (["--batch-size=0"], "--batch-size must be above 0; got 0"),
    ],
)
def test_wrong_options_are_named(words, message, capsys):
    assert main(["profile", "finetune", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.one_backend("asks for the training step")
def test_a_model_with_a_step_of_its_own_is_refused(monkeypatch):
    class Own(keras.Sequential):
        def train_step(self, data):
            raise AssertionError

    monkeypatch.setattr(ClassificationTrainer, "compiled", lambda *_: (None, Own()))
    with pytest.raises(ValueError, match="Own has a training step of its own"):
        profile(small("classifier"), 1)
