"""An independent check: transformers' PVT, with the same weights, says the same.

Its norms all have an epsilon of 1e-6, where the official patch embeddings and reductions have
1e-5: with these weights that moves logits by about 1e-5, so that a tolerance of 1e-4 is right
for it as it is. With the official epsilons set, float32 is all that is between the two.
"""

import keras
import numpy as np
import pytest
import recipe
import torch

import keras_pvt
from keras_pvt.conversion import load_checkpoint, read_checkpoint, save_checkpoint, to_torch
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend("moves arrays of weights")


@pytest.fixture(scope="module")
def theirs():
    import transformers

    config = VARIANTS["pvt_tiny"]
    return transformers.PvtForImageClassification(
        transformers.PvtConfig(
            image_size=config.image_size,
            depths=list(config.depths),
            hidden_sizes=list(config.embed_dims),
            num_attention_heads=list(config.num_heads),
            mlp_ratios=list(config.mlp_ratios),
            sequence_reduction_ratios=list(config.sr_ratios),
            num_labels=config.classes,
        )
    ).eval()


@pytest.fixture(scope="module")
def ours():
    model = keras_pvt.classifier("pvt_tiny", classifier_activation=None)
    load_checkpoint(model, recipe.state_dict("pvt_tiny"))
    return model


def logits(theirs, images) -> np.ndarray:
    with torch.no_grad():
        return theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).logits.numpy()


def test_transformers_loads_ours_and_agrees(ours, theirs, tmp_path):
    from safetensors.torch import load_file

    save_checkpoint(to_torch(ours, "huggingface"), tmp_path / "model.safetensors")
    theirs.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)
    images = recipe.images(224, 224)
    mine = keras.ops.convert_to_numpy(ours(images))
    official_epsilons = [
        module
        for name, module in theirs.named_modules()
        if name.endswith(("self.layer_norm",)) or ("patch_embeddings" in name and "norm" in name)
    ]
    assert len(official_epsilons) == 4 + 6  # four embeddings, reductions in three stages of two
    apart = np.abs(logits(theirs, images) - mine).max()
    for module in official_epsilons:
        assert module.eps == 1e-6
        module.eps = 1e-5
    close = np.abs(logits(theirs, images) - mine).max()
    assert apart < 1e-4
    assert close < 1e-5
    assert close < apart


def test_its_checkpoints_are_read(ours, theirs, tmp_path):
    """As transformers writes them, into a model of ours, and back."""
    theirs.load_state_dict(
        {key: torch.from_numpy(a) for key, a in to_torch(ours, "huggingface").items()}
    )
    theirs.save_pretrained(tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    assert set(read_checkpoint(path)) == set(to_torch(ours, "huggingface"))
    before = to_torch(ours)
    head = ours.get_layer("head")
    head.bias.assign(np.zeros(1000, "float32"))
    report = load_checkpoint(ours, path)
    assert not report.skipped
    for key, array in to_torch(ours).items():
        np.testing.assert_array_equal(array, before[key])
