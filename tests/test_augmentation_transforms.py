"""From an image to what the model takes: the order of the parts, and what is left out."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from keras_pvt.training.augmentation import (
    ColorJitter,
    EvalTransform,
    RandAugment,
    RandomErasing,
    TrainTransform,
    random_flip,
    random_resized_crop,
    random_shift,
)

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

OFFICIAL = "rand-m9-mstd0.5-inc1"
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (72, 104, 3), dtype="uint8")


def normalised(image):
    return (image / 255 - MEAN) / STD


def resized(image, height, width):
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


@pytest.mark.parametrize("seed", range(6))
def test_the_official_order(image, seed):
    transform = TrainTransform(48, rand_augment=OFFICIAL, color_jitter=0.4, erasing=0.9)
    result = transform(image, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    expected = random_flip(random_resized_crop(image, 48, rng), rng)
    expected = normalised(RandAugment()(expected, rng)).astype("float32")
    expected = RandomErasing(0.9)(expected, rng)
    assert result.shape == (48, 48, 3)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_for_small_images(image, seed):
    transform = TrainTransform((40, 56), crop="shift", color_jitter=0.3, shift=3)
    result = transform(image, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    expected = random_flip(random_shift(resized(image, 40, 56), 3, rng), rng)
    expected = normalised(ColorJitter(0.3)(expected, rng))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_everything_can_be_left_out(image, rng):
    transform = TrainTransform((72, 104), crop="none", flip=False)
    np.testing.assert_allclose(transform(image, rng), normalised(image), rtol=0, atol=1e-6)
    transform = TrainTransform(33, crop="none", flip=False)
    expected = normalised(resized(image, 33, 33))
    np.testing.assert_allclose(transform(image, rng), expected, rtol=0, atol=1e-6)
    crop = TrainTransform(16, flip=False, scale=(0.3, 0.4))(image, np.random.default_rng(1))
    expected = random_resized_crop(image, 16, np.random.default_rng(1), (0.3, 0.4))
    np.testing.assert_allclose(crop, normalised(expected), rtol=0, atol=1e-6)


def test_threads_and_copies_repeat_exactly(image):
    before = image.copy()
    transform = TrainTransform(48, rand_augment=OFFICIAL, erasing=0.5)
    copied = pickle.loads(pickle.dumps(transform))
    assert copied == transform
    alone = [transform(image, np.random.default_rng(seed)) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda seed: copied(image, np.random.default_rng(seed)), range(24))
        np.testing.assert_array_equal(list(results), alone)
    np.testing.assert_array_equal(image, before)
    assert len({result.tobytes() for result in alone}) == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "`size`.*got 0"),
        ({"size": (32, 0)}, r"got \(32, 0\)"),
        ({"crop": "centre"}, "resized, shift, none; got 'centre'"),
        ({"rand_augment": "rand-m9"}, "inc1"),
        ({"rand_augment": ""}, "start with 'rand'"),
        ({"color_jitter": -1}, "`strength`"),
        ({"erasing": 1.5}, "`probability`"),
        ({"scale": (0, 1)}, "`scale`"),
        ({"scale": (0.5, 1.5)}, "`scale`"),
        ({"shift": -1}, "`shift`"),
    ],
)
def test_wrong_options_are_errors_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        TrainTransform(**({"size": 32} | options))


@pytest.mark.parametrize("crop", ["resized", "shift", "none"])
def test_wrong_images_are_errors(image, rng, crop):
    for wrong in (image.astype("float32"), image[..., 0], image[..., :1], image[:0]):
        with pytest.raises(ValueError, match="must be uint8"):
            TrainTransform(32, crop)(wrong, rng)


def test_evaluation_cuts_the_centre_or_takes_the_whole(image):
    # The short side to int(96 * 256 / 224) = 109, so the long one to 157: 6.5 to 6, 30.5 to 30.
    expected = normalised(resized(image, 109, 157)[6:102, 30:126])
    result = EvalTransform(96)(image)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)
    whole = normalised(resized(image, 32, 32))
    np.testing.assert_allclose(EvalTransform(32)(image), whole, rtol=0, atol=1e-6)
    cut = normalised(resized(image, 36, 52)[2:34, 10:42])
    np.testing.assert_allclose(EvalTransform(32, whole=False)(image), cut, rtol=0, atol=1e-6)
    assert EvalTransform(64)(image).shape == (64, 64, 3)
    assert not np.allclose(EvalTransform(64)(image), EvalTransform(64, whole=True)(image))
    with pytest.raises(ValueError, match="uint8"):
        EvalTransform(32)(image / 255)
