"""What the benchmarks compare: one prepared call per contender.

Every contender has random weights of its own and gets float32 images that are already in its
own layout, so that nothing but the forward pass is measured.
"""

import dataclasses
import functools
import importlib
import pathlib
import sys
import types
from collections.abc import Callable

import numpy as np

from keras_pvt.variants import VARIANTS

OURS, ZEROMODELS, HUGGING_FACE, UPSTREAM = "keras_pvt", "zeromodels", "hugging face", "official"


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to measure: a variant, the side of the images in pixels, and the batch."""

    variant: str
    size: int
    batch: int = 1


def prepare(contender: str, case: Case, upstream: pathlib.Path | None = None) -> Callable:
    """Build a contender and return its forward pass, which waits for the result.

    Args:
        contender: one of the four names above.
        case: what to run.
        upstream: checkout of whai362/PVT; only `UPSTREAM` needs it.
    """
    images = np.random.default_rng(0).standard_normal((case.batch, case.size, case.size, 3))
    images = images.astype("float32")
    if contender in BUILDERS:
        return keras_call(BUILDERS[contender](case), images)
    if contender == HUGGING_FACE:
        model = hugging_face(case)
    else:
        # Built for 224 pixels, as its checkpoints are; it resizes its positions itself.
        model = getattr(_official_module(upstream), case.variant)()
    return torch_call(model, images)


def keras_call(model, images: np.ndarray) -> Callable:
    """The inference call of a Keras model, compiled where the backend has a compiler."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        weights = [v.value for v in model.trainable_variables]
        state = [v.value for v in model.non_trainable_variables]
        x = jax.device_put(images)
        forward = jax.jit(lambda *args: model.stateless_call(*args, training=False)[0])
        return lambda: jax.block_until_ready(forward(weights, state, x))
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.constant(images)
        forward = tf.function(lambda x: model(x, training=False))
        return lambda: [output.numpy() for output in keras.tree.flatten(forward(x))]
    import torch

    x = torch.from_numpy(images)

    def eager():
        with torch.no_grad():
            return model(x, training=False)

    return eager


def torch_call(model, images: np.ndarray) -> Callable:
    """The eager inference call of a torch module, which takes channels-first images."""
    import torch

    model.eval()
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))

    def eager():
        with torch.no_grad():
            return model(x)

    return eager


def build_ours(case: Case):
    """Our classifier, which ends in logits."""
    import keras_pvt

    return keras_pvt.classifier(
        case.variant, input_shape=(case.size, case.size, 3), classifier_activation=None
    )


def build_zeromodels(case: Case):
    """zeromodels' classifier, which ends in logits; its size is fixed when it is built."""
    from zeromodels.models.pvt import PvtImageClassify

    return PvtImageClassify(depths=VARIANTS[case.variant].depths, image_size=case.size)


BUILDERS = {OURS: build_ours, ZEROMODELS: build_zeromodels}


def hugging_face(case: Case):
    """transformers' classifier, built for the size of the case."""
    from transformers import PvtConfig, PvtForImageClassification

    depths = list(VARIANTS[case.variant].depths)
    # At another size than it was built for, its position tables do not fit.
    return PvtForImageClassification(
        PvtConfig(depths=depths, image_size=case.size, num_labels=1000)
    )


@functools.cache
def _official_module(checkout: pathlib.Path) -> types.ModuleType:
    """The official `classification/pvt.py`, with stand-ins for what it takes from timm."""
    from torch import nn

    # At inference, none of these does anything but initialise weights.
    stand_ins = {
        "timm.models.layers": {
            "DropPath": nn.Identity,
            "to_2tuple": lambda size: (size, size),
            "trunc_normal_": nn.init.trunc_normal_,
        },
        "timm.models.registry": {"register_model": lambda function: function},
        "timm.models.vision_transformer": {"_cfg": dict},
    }
    modules = {name: types.ModuleType(name) for name in ("timm", "timm.models", *stand_ins)}
    for name, members in stand_ins.items():
        vars(modules[name]).update(members)
    folder = str(checkout / "classification")
    before = dict(sys.modules)
    sys.modules.update(modules)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("pvt")
    finally:
        sys.path.remove(folder)
        for name in modules:
            sys.modules.pop(name)
            if name in before:
                sys.modules[name] = before[name]
