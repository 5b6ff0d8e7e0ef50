"""Training images and labels changed at random, against torch, matplotlib and plain loops."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

from keras_pvt.segmentation.data.augmentation import TrainTransform
from keras_pvt.segmentation.data.photometric import PhotometricDistortion, change_colour
from keras_pvt.segmentation.data.samples import IGNORED
from keras_pvt.utils.resizing import fit_scale, resized_labels_part, resized_part, scaled

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

sides = st.integers(1, 24)


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.data())
def test_a_part_is_that_of_the_whole_resized_image(own, size, data):
    image = np.random.default_rng(0).integers(0, 256, (*own, 3)).astype("uint8")
    part = []
    for side in size:
        first = data.draw(st.integers(0, side - 1))
        part.append(slice(first, data.draw(st.integers(first + 1, side))))
    made = resized_part(image, size, *part)
    whole = torch.nn.functional.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None].double(), size, mode="bilinear"
    )
    expected = whole[0].permute(1, 2, 0).numpy()[tuple(part)]
    assert made.dtype == "float32"
    np.testing.assert_allclose(made, expected, atol=1e-3)
    labels = image[..., 0]
    nearest = torch.nn.functional.interpolate(
        torch.from_numpy(labels)[None, None].double(), size, mode="nearest-exact"
    )
    made = resized_labels_part(labels, size, *part)
    np.testing.assert_array_equal(made, nearest[0, 0].numpy()[tuple(part)])


def test_sizes():
    # As mmcv's rescale_size gives them for (2048, 512): the short side rules, or the long one.
    for size, expected in [
        ((360, 480), (512, 683)),
        ((100, 800), (256, 2048)),
        ((5, 4), (640, 512)),
    ]:
        assert scaled(size, fit_scale(size, (2048, 512), turned=True)) == expected
        assert scaled(size[::-1], fit_scale(size[::-1], (512, 2048), turned=True)) == expected[::-1]
    assert scaled((5, 1), 0.5) == (3, 1)
    assert scaled((1, 1), 0.01) == (1, 1)


def hsv_changed(image, saturation, hue):
    """By matplotlib's HSV."""
    hsv = rgb_to_hsv(image / 255)
    hsv[..., 1] = np.minimum(hsv[..., 1] * saturation, 1)
    hsv[..., 0] = (hsv[..., 0] + hue / 360) % 1
    return 255 * hsv_to_rgb(hsv)


@pytest.mark.parametrize("saturation", [0, 0.5, 1, 1.5])
@pytest.mark.parametrize("hue", [0, 17, -36, 200, -361])
def test_colours_against_matplotlib(rng, saturation, hue):
    image = rng.integers(0, 256, (20, 30, 3)).astype("float32")
    image[0] = image[0, :, :1]  # gray
    image[1, :, 0] = image[1, :, 1]  # two channels that are the largest or smallest
    image[2] = 0
    made = change_colour(image, saturation, hue)
    assert made.dtype == "float32"
    np.testing.assert_allclose(made, hsv_changed(image, saturation, hue), atol=2e-3)


@given(st.tuples(*[st.integers(0, 255)] * 3), st.floats(0, 2), st.floats(-180, 180))
def test_a_colour_against_colorsys(colour, saturation, hue):
    made = change_colour(np.array(colour, "float32")[None, None], saturation, hue)
    h, s, v = colorsys.rgb_to_hsv(*(value / 255 for value in colour))
    expected = colorsys.hsv_to_rgb((h + hue / 360) % 1, min(1, s * saturation), v)
    np.testing.assert_allclose(made[0, 0], 255 * np.array(expected), atol=5e-3)


ALWAYS = {"brightness": 0, "contrast": (1, 1), "saturation": (1, 1), "hue": 0, "probability": 1}


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (11, 13, 3)).astype("uint8")


def test_each_distortion_alone(image, rng):
    def draws(**options):
        distortion = PhotometricDistortion(**ALWAYS | options)
        return [distortion(image, rng) for _ in range(60)]

    gray = np.full((1, 1, 3), 100, "uint8")
    added = [PhotometricDistortion(**ALWAYS | {"brightness": 32})(gray, rng) for _ in range(200)]
    added = np.array(added)[:, 0, 0, 0] - 100
    assert -32 <= added.min() < -25 < 25 < added.max() <= 32
    bright = PhotometricDistortion(**ALWAYS | {"brightness": 32})(image, np.random.default_rng(2))
    shift = np.median(bright - image)
    np.testing.assert_allclose(bright, np.clip(image + shift, 0, 255), atol=1e-4)
    for made in draws(contrast=(1.4, 1.4)):
        np.testing.assert_allclose(made, np.clip(image * 1.4, 0, 255), atol=1e-4)
    for made in draws(saturation=(0.6, 0.6)):
        np.testing.assert_allclose(made, hsv_changed(image, 0.6, 0), atol=1e-3)
    reds = np.array([[[200, 50, 50]]], "uint8")
    hues = [PhotometricDistortion(**ALWAYS | {"hue": 36})(reds, rng)[0, 0] for _ in range(200)]
    degrees = np.array([rgb_to_hsv(colour / 255)[0] for colour in hues]) * 360
    degrees = (degrees + 180) % 360 - 180
    assert -36.01 <= degrees.min() < -30 < 30 < degrees.max() <= 36.01


def test_contrast_comes_first_or_last(image, rng):
    distortion = PhotometricDistortion(
        **ALWAYS | {"contrast": (1.5, 1.5), "saturation": (1.5, 1.5)}
    )

    def contrast(array):
        return np.clip(array * 1.5, 0, 255)

    orders = [
        hsv_changed(contrast(image.astype("float64")), 1.5, 0),
        contrast(hsv_changed(image.astype("float64"), 1.5, 0)),
    ]
    seen = [0, 0]
    for _ in range(100):
        made = distortion(image, rng)
        near = [np.abs(made - order).max() < 1e-2 for order in orders]
        assert sum(near) == 1
        seen[near.index(True)] += 1
    assert min(seen) > 25


def test_each_distortion_is_in_half_of_the_images(image, rng):
    options = {"brightness": 32, "contrast": (1.2, 1.3), "saturation": (0.5, 0.6), "hue": 36}
    for name, value in options.items():
        distortion = PhotometricDistortion(**ALWAYS | {name: value, "probability": 0.5})
        changed = [np.abs(distortion(image, rng) - image).max() > 1e-2 for _ in range(200)]
        assert 70 < sum(changed) < 130, name
    made = [PhotometricDistortion()(image, rng) for _ in range(100)]
    assert min(array.min() for array in made) >= 0
    assert max(array.max() for array in made) <= 255


def test_nothing_to_change_is_the_image_itself(image, rng):
    labels = image[..., 0]
    transform = TrainTransform((11, 13), scales=(1, 1), flip=0, photometric=False, max_share=1)
    pixels, own = transform(image, labels, rng)
    assert (pixels.dtype, own.dtype) == ("float32", "uint8")
    np.testing.assert_array_equal(pixels, image)
    np.testing.assert_array_equal(own, labels)
    flipped = TrainTransform((11, 13), scales=(1, 1), flip=1, photometric=False, max_share=1)
    pixels, own = flipped(image, labels, rng)
    np.testing.assert_array_equal(pixels, image[:, ::-1])
    np.testing.assert_array_equal(own, labels[:, ::-1])


def test_padding_is_the_mean_colour_and_ignored(image, rng):
    transform = TrainTransform((16, 9), scales=(1, 1), flip=0, max_share=1)
    pixels, own = transform(image, image[..., 0] // 2, rng)
    assert pixels.shape == (16, 9, 3)
    np.testing.assert_allclose(
        pixels[11:], np.broadcast_to([123.675, 116.28, 103.53], (5, 9, 3)), atol=1e-4
    )
    assert (own[11:] == IGNORED).all()
    assert (own[:11] < 128).all()


def test_pixels_stay_with_their_labels(rng):
    """Labels are the column and row of what the pixel shows, whatever happens to it."""
    rows, columns = np.mgrid[:40, :60]
    image = np.stack([rows * 4, columns * 4, 0 * rows], axis=-1).astype("uint8")
    seen = set()
    for labels, channel in ((rows, 0), (columns, 1)):
        transform = TrainTransform((24, 16), photometric=False, max_share=1)
        for _ in range(60):
            pixels, own = transform(image, labels.astype("uint8"), rng)
            inside = own != IGNORED
            assert pixels.shape == (24, 16, 3)
            # Half a pixel of the image, as labels do not lie between.
            assert np.abs(pixels[..., channel] / 4 - own)[inside].max() <= 0.51
            seen.add((bool(inside.all()), bool(own[0, 0] > own[0, 1])))
    assert {flipped for _, flipped in seen} == {True, False}
    assert {whole for whole, _ in seen} == {True, False}


@pytest.mark.parametrize(
    ("base", "smallest", "largest"), [(None, 0.5, 2), ((40, 20), 0.5, 2), ((20, 40), 1, 1)]
)
def test_scales(base, smallest, largest):
    transform = TrainTransform((8, 8), base, (smallest, largest))
    rng = np.random.default_rng(0)
    sizes = [transform._size((30, 60), rng.uniform(smallest, largest)) for _ in range(300)]
    unit = 30 if base is None else 20
    heights = np.array([height for height, _ in sizes])
    assert round(unit * smallest) <= heights.min() <= unit * smallest + 1
    assert unit * largest - 1 <= heights.max() <= round(unit * largest)
    assert abs(heights.mean() - unit * (smallest + largest) / 2) < unit / 15  # drawn evenly
    assert all(abs(width - 2 * height) <= 1 for height, width in sizes)


def test_parts_of_one_class_are_drawn_anew():
    labels = np.zeros((60, 60), "uint8")
    labels[:, 50:] = 1
    labels[:20] = IGNORED
    image = np.zeros((60, 60, 3), "uint8")

    def shares(max_share):
        transform = TrainTransform((12, 12), None, (1, 1), 0, False, max_share)
        rng = np.random.default_rng(4)
        found = []
        for _ in range(400):
            own = transform(image, labels, rng)[1]
            counts = [(own == 0).sum(), (own == 1).sum()]
            found.append(max(counts) / max(1, sum(counts)) if sum(counts) else 1)
        return np.array(found)

    # Of 49 places across 5 will do, of those down 41: one in 12. Eleven draws are
    # 1 - (1 - 1 / 12) ** 11 = 0.62.
    assert 0.04 < (shares(1) < 0.75).mean() < 0.14
    assert 0.54 < (shares(0.75) < 0.75).mean() < 0.72
    assert set(shares(0.01)) <= set(shares(1)) | {1.0}
    transform = TrainTransform((12, 12), None, (1, 1), 0, False, 0.75)
    assert (transform(image, np.full((60, 60), IGNORED, "uint8"), np.random.default_rng(0))[1]
            == IGNORED).all()  # fmt: skip


def test_draws_decide_everything(image):
    labels = image[..., 0] % 3
    transform = TrainTransform((8, 8))
    one, same, other = (transform(image, labels, np.random.default_rng(n)) for n in (1, 1, 2))
    for array, expected, unlike in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert (array != unlike).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"crop": (0, 5)}, r"`crop` must .* got \(0, 5\)"),
        ({"base": (5,)}, r"`base` must .* got \(5,\)"),
        ({"scales": (2, 1)}, "`scales` must"),
        ({"scales": (0, 1)}, "`scales` must"),
        ({"flip": 1.5}, "got 1.5 and 0.75"),
        ({"max_share": 0}, "got 0.5 and 0"),
    ],
)
def test_arguments_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        TrainTransform(**{"crop": (8, 8)} | options)


def test_a_crop_lies_anywhere(rng):
    """From the first row to the last."""
    labels = np.repeat(np.arange(7, dtype="uint8")[:, None], 4, axis=1)
    image = np.zeros((7, 4, 3), "uint8")
    transform = TrainTransform((4, 4), scales=(1, 1), flip=0, photometric=False, max_share=1)
    firsts = {int(transform(image, labels, rng)[1][0, 0]) for _ in range(60)}
    assert firsts == {0, 1, 2, 3}
