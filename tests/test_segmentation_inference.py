"""Inference against torch's resizing, and averages worked out pixel by pixel."""

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from keras_pvt import preprocess_input
from keras_pvt.layers import ResizeLike
from keras_pvt.models.inputs import preprocess
from keras_pvt.segmentation import Predictor
from keras_pvt.variants import IMAGENET_MEAN

pytestmark = pytest.mark.one_backend("of NumPy, around a model", full=True)

CLASSES = 5
MEAN = 255 * np.array(IMAGENET_MEAN, "float32")


def segmenter(size=(None, None), full_size=True, align_corners=False, pixels=True):
    """One convolution of stride 4, and a resize; what a pixel gets depends on those around."""
    inputs = keras.Input((*size, 3))
    x = preprocess(inputs) if pixels else inputs
    conv = keras.layers.Conv2D(CLASSES, 7, strides=4, padding="same", name="logits")
    x = conv(x)
    if full_size:
        x = ResizeLike(align_corners=align_corners, name="full_size")(x, inputs)
    rng = np.random.default_rng(1)
    conv.set_weights([rng.normal(size=w.shape) / 5 for w in conv.get_weights()])
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def model():
    return segmenter()


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (50, 75, 3), "uint8")


def resized(x, height, width):
    """`(h, w, C)` by torch."""
    x = torch.from_numpy(np.array(x, "float32")).permute(2, 0, 1)[None]
    x = F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
    return x[0].permute(1, 2, 0).numpy()


def softmax(logits):
    return torch.softmax(torch.from_numpy(np.array(logits)), dim=-1).numpy()


def logits_of(model, x):
    return model.predict_on_batch(np.ascontiguousarray(x)[None])[0]


def check(predictor, image, expected):
    found = predictor.probabilities(image)
    assert (found.dtype, found.shape) == ("float32", (*image.shape[:2], CLASSES))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    labels = predictor.labels(image)
    assert labels.dtype == "uint8"
    sure = np.sort(expected, axis=-1)[..., -1] - np.sort(expected, axis=-1)[..., -2] > 1e-4
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(labels[sure], expected.argmax(axis=-1)[sure])


@pytest.mark.parametrize("full_size", [True, False])
@pytest.mark.parametrize(
    ("size", "short_side", "between", "network"),
    [
        ((50, 75), None, (50, 75), (64, 96)),
        ((50, 75), 40, (40, 60), (64, 64)),
        ((20, 200), 40, (16, 160), (32, 160)),  # the long side is four times 40 at most
        ((75, 50), 64, (96, 64), (96, 64)),
    ],
)
def test_a_whole_image_is_resized_twice_and_its_logits_twice(
    model, rng, full_size, size, short_side, between, network
):
    image = rng.integers(0, 256, (*size, 3), "uint8")
    logits = resized(logits_of(model, resized(resized(image, *between), *network)), *size)
    tried = model if full_size else segmenter(full_size=False)
    check(Predictor(tried, short_side=short_side), image, softmax(logits))


def test_scales_and_mirror_images_are_averaged(model, image):
    parts = []
    for between, network in (((25, 38), (32, 64)), ((63, 94), (64, 96))):  # of 0.5 and 1.25
        x = resized(resized(image, *between), *network)
        parts.append(softmax(resized(logits_of(model, x), 50, 75)))
        mirrored = logits_of(model, x[:, ::-1])[:, ::-1]
        parts.append(softmax(resized(mirrored, 50, 75)))
    predictor = Predictor(model, scales=(0.5, 1.25), flip=True)
    check(predictor, image, np.mean(parts, axis=0))
    assert np.abs(parts[0] - parts[1]).max() > 0.01


def windows(model, image, window, starts):
    """Logits of each pixel, averaged over the windows that hold it."""
    total, count = np.zeros((*image.shape[:2], CLASSES)), np.zeros(image.shape[:2])
    for top in starts[0]:
        for left in starts[1]:
            rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
            total[rows, columns] += logits_of(model, image[rows, columns].astype("float32"))
            count[rows, columns] += 1
    assert count.min() == 1
    assert count.max() > 2
    return (total / count[..., None]).astype("float32")


def test_windows_are_averaged_and_the_last_one_ends_with_the_image(model, image):
    logits = windows(model, image, (32, 48), ((0, 9, 18), (0, 12, 24, 27)))
    predictor = Predictor(model, mode="slide", window=(32, 48), stride=(9, 12))
    check(predictor, image, softmax(logits))
    again = windows(model, image[:, ::-1], (32, 48), ((0, 9, 18), (0, 12, 24, 27)))[:, ::-1]
    predictor = Predictor(model, mode="slide", window=(32, 48), stride=(9, 12), flip=True)
    check(predictor, image, (softmax(logits) + softmax(again)) / 2)


def test_a_model_of_one_size_has_its_window(image):
    """Its last resize may align corners; two thirds of 33 and 48 are 22 and 32."""
    fixed = segmenter((33, 48), align_corners=True)
    logits = windows(fixed, image, (33, 48), ((0, 17), (0, 27)))
    check(Predictor(fixed), image, softmax(logits))


def test_a_small_image_is_filled_up_with_the_mean_colour(image):
    fixed = segmenter((64, 80))
    canvas = np.tile(MEAN, (64, 80, 1))
    canvas[:50, :75] = image
    check(Predictor(fixed), image, softmax(logits_of(fixed, canvas)[:50, :75]))


def test_a_whole_image_is_stretched_to_a_model_of_one_size(image):
    fixed = segmenter((33, 48), align_corners=True)
    logits = resized(logits_of(fixed, resized(image, 33, 48)), 50, 75)
    check(Predictor(fixed, mode="whole"), image, softmax(logits))


def test_a_model_without_preprocessing_gets_normalised_images(model, image):
    bare = segmenter(pixels=False)
    x = resized(image, 64, 96)
    np.testing.assert_allclose(
        logits_of(bare, preprocess_input(x)), logits_of(model, x), rtol=0, atol=1e-4
    )
    check(Predictor(bare), image, Predictor(model).probabilities(image))


def colours():
    """A model whose logits depend on the pixel alone: where tiles meet, nothing shows."""
    inputs = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(CLASSES, 1)
    model = keras.Model(inputs, conv(preprocess(inputs)))
    rng = np.random.default_rng(1)
    conv.set_weights([rng.normal(size=w.shape) for w in conv.get_weights()])
    return model


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((96, 160), {}),
        ((32, 320), {}),  # wide tiles where the image is low
        ((96, 160), {"mode": "slide", "window": 32}),
    ],
)
def test_large_images_go_tile_by_tile(rng, monkeypatch, size, options):
    model, seen = colours(), set()
    image = rng.integers(0, 256, (*size, 3), "uint8")
    expected = softmax(logits_of(model, image.astype("float32")))
    predict = keras.Model.predict_on_batch

    def count(self, x):
        seen.add(x.shape)
        return predict(self, x)

    monkeypatch.setattr(keras.Model, "predict_on_batch", count)
    check(Predictor(model, max_pixels=64 * 64, **options), image, expected)
    (shape,) = seen  # a program for each would take JAX seconds
    assert shape[1] * shape[2] <= 64 * 64


def test_tiles_are_at_the_scale_of_the_whole_image(rng):
    """Smooth, so that it hardly matters where a tile begins to be resized."""
    image = resized(rng.integers(0, 256, (3, 5, 3)), 192, 320).round().astype("uint8")
    whole = Predictor(colours(), short_side=96).probabilities(image)
    tiled = Predictor(colours(), short_side=96, max_pixels=64 * 64)
    assert len(tiled._tiles((192, 320), 0.5)) == 2 * 3
    np.testing.assert_allclose(tiled.probabilities(image), whole, atol=0.1)
    assert (tiled.labels(image) == whole.argmax(-1)).mean() > 0.98


@pytest.mark.parametrize(
    ("count", "dtype"), [(255, "uint8"), (256, "uint16"), (280, "uint16"), (300, "uint16")]
)
def test_labels_hold_the_number_of_every_class(count, dtype):
    """And one that is no class: 255 is a class where there are more."""
    inputs = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(count, 1)
    pixels = keras.layers.Identity(name="preprocessing")(inputs)
    model = keras.Model(inputs, conv(pixels))
    numbers = np.arange(count)
    # -(x - n)^2 is largest for class n = x, which red and green tell: x = red + 255 * green.
    kernel = np.stack([2 * numbers, 510 * numbers, 0 * numbers])[None, None]
    conv.set_weights([kernel, -(numbers**2)])
    expected = np.arange(0, count, 5).repeat(2).reshape(2, -1)
    expected[1, -1] = count - 1
    image = np.stack([expected % 255, expected // 255, 0 * expected], -1).astype("uint8")
    found = Predictor(model, mode="slide", window=1).labels(image)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "tiles"}, "one of auto, whole, slide; got 'tiles'"),
        ({"mode": "slide"}, "needs a `window`"),
        ({"window": 32}, 'are for the mode "slide"'),
        ({"mode": "slide", "window": 32, "stride": 33}, "would leave out pixels"),
        ({"scales": ()}, "numbers above 0"),
        ({"scales": (1, 0)}, "numbers above 0"),
        ({"short_side": 0}, "1 pixel or more"),
        ({"max_pixels": 0}, "1 or more"),
    ],
)
def test_bad_options_are_named(model, options, message):
    with pytest.raises(ValueError, match=message):
        Predictor(model, **options)


def test_what_does_not_fit_is_named(model, image):
    with pytest.raises(ValueError, match=r"windows of \(33, 48\); got \(32, 32\)"):
        Predictor(segmenter((33, 48)), window=32)
    with pytest.raises(ValueError, match=r"functional keras\.Model.*got Sequential"):
        Predictor(keras.Sequential([keras.layers.Dense(2)]))
    for wrong in (image[None], image.astype("float32"), image[..., :1]):
        for predict in (Predictor(model).labels, Predictor(model).probabilities):
            with pytest.raises(ValueError, match="must be uint8"):
                predict(wrong)


@pytest.mark.full("looks at 96,000 pixels in three long windows")
def test_a_strip_takes_no_memory_by_the_square_of_its_length(rng):
    """Few pixels, but interpolating along them at once would take 40,000 x 40,000 numbers."""
    image = rng.integers(0, 256, (8, 12_000, 3), "uint8")  # three tiles, as ten take a minute
    predictor = Predictor(colours())
    widths = [columns.of.stop - columns.of.start for _, columns in predictor._tiles((8, 40_000), 1)]
    assert max(widths) <= 4096
    assert predictor.labels(image).shape == (8, 12_000)
