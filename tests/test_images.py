import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_pvt.utils import images
from keras_pvt.utils.images import ImageError, eval_transform, load_image
from keras_pvt.variants import WEIGHTS

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")


@pytest.fixture
def pixels(rng) -> np.ndarray:
    """A smooth RGB image of 48 x 80 with another pattern in each channel."""
    rows, columns = np.mgrid[:48, :80]
    waves = [np.sin(rows / (5 + c) + c) * np.cos(columns / (9 - c)) for c in range(3)]
    noise = 20 * rng.random((48, 80, 3))
    return (np.stack(waves, -1) * 100 + 127 + noise - 10).clip(0, 255).astype("uint8")


def save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


# ---- load_image


def test_rgb_file_comes_back_as_it_is(tmp_path, pixels):
    loaded = load_image(str(save(tmp_path / "a.png", pixels)))
    assert loaded.dtype == np.uint8
    assert loaded.flags.writeable  # torch warns of arrays that are not
    np.testing.assert_array_equal(loaded, pixels)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda x: np.rot90(x, 1)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, pixels, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", pixels, exif=exif)
    np.testing.assert_array_equal(load_image(path), upright(pixels))
    resized = eval_transform(Image.open(path), 32)
    np.testing.assert_array_equal(resized, eval_transform(upright(pixels), 32))


def test_gray_bilevel_and_alpha_become_rgb(tmp_path, pixels):
    gray = pixels[..., 0]
    for mode in ("L", "LA"):
        loaded = load_image(save(tmp_path / f"{mode}.png", gray, mode))
        np.testing.assert_array_equal(loaded, np.stack([gray] * 3, -1))
    bilevel = load_image(save(tmp_path / "1.png", gray > 127))
    np.testing.assert_array_equal(bilevel, np.stack([255 * (gray > 127)] * 3, -1))
    alpha = np.concatenate([pixels, np.full((48, 80, 1), 9, "uint8")], -1)
    np.testing.assert_array_equal(load_image(save(tmp_path / "a.png", alpha)), pixels)


def test_palette_becomes_rgb_also_with_transparency(tmp_path):
    colours = np.array([[200, 10, 30], [5, 250, 60], [90, 80, 170]], "uint8")
    index = np.arange(15).reshape(3, 5) % 3
    image = Image.fromarray(index.astype("uint8"), "P")
    image.putpalette(colours.tobytes())
    for name, options in {"opaque": {}, "clear": {"transparency": bytes([0, 128, 255])}}.items():
        path = tmp_path / f"{name}.png"
        image.save(path, **options)
        np.testing.assert_array_equal(load_image(path), colours[index])


def test_cmyk_becomes_rgb(tmp_path):
    ink = np.zeros((16, 16, 4), "uint8")
    ink[..., 0], ink[..., 3] = 255, 51  # full cyan, a fifth of black
    path = tmp_path / "a.tif"
    Image.fromarray(ink, "CMYK").save(path)
    np.testing.assert_array_equal(load_image(path)[0, 0], [0, 204, 204])


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_keep_the_upper_eight(tmp_path, suffix):
    values = np.array([[0, 255, 256], [40000, 65279, 65535]], "uint16")
    loaded = load_image(save(tmp_path / f"a.{suffix}", values))
    np.testing.assert_array_equal(loaded[..., 1], [[0, 0, 1], [156, 254, 255]])


@pytest.mark.parametrize("value", [-1, 70000])
def test_values_beyond_sixteen_bits_are_refused(tmp_path, value):
    path = save(tmp_path / "a.tif", np.full((2, 3), value, "int32"))
    with pytest.raises(ImageError, match=r"a\.tif.*exceed 16 bits"):
        load_image(path)


def test_float_pixels_are_refused(tmp_path):
    path = save(tmp_path / "a.tif", np.full((2, 3), 0.5, "float32"))
    with pytest.raises(ImageError, match=r"a\.tif.*floats"):
        load_image(path)


def png_header(width: int, height: int) -> bytes:
    """A PNG of this size that holds no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    size, check = struct.pack(">I", 13), struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + size + chunk + check


def test_damaged_files_are_refused_by_name(tmp_path, pixels):
    whole = io.BytesIO()
    Image.fromarray(pixels).save(whole, "JPEG")
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    damaged = {
        "empty.jpg": b"",
        "page.jpg": b"<html>not found</html>",
        "cut.jpg": whole.getvalue()[:400],
        "cut.png": png.getvalue()[:2000],
        "header.png": png_header(40, 30),
        "bomb.png": png_header(30000, 30000),
        "zeros.png": bytes(5000),
    }
    for name, content in damaged.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ImageError, match=name):
            load_image(path)


def test_image_above_pillows_limit_is_refused_before_decoding(tmp_path, pixels, monkeypatch):
    path = save(tmp_path / "a.png", pixels)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 80 - 1)
    with pytest.raises(ImageError, match=r"a\.png"):
        load_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 80)
    load_image(path)


def test_missing_file_and_folder_are_ordinary_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        load_image(tmp_path / "nothing.jpg")
    with pytest.raises(IsADirectoryError):
        load_image(tmp_path)


# ---- eval_transform


def bicubic(array: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Resize one axis in float64 by Keys' kernel (a = -0.5), widened where it shrinks."""
    array = np.moveaxis(array.astype("float64"), axis, 0)
    scale = len(array) / size
    stretch = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    t = np.abs((np.arange(len(array)) + 0.5 - centres[:, None]) / stretch)
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    kernel = np.where(t < 1, near, np.where(t < 2, far, 0))
    kernel /= kernel.sum(1, keepdims=True)
    return np.moveaxis(np.tensordot(kernel, array, 1), 0, axis)


# Height, width, crop; then by hand: resized height and width, top and left of the crop.
CASES = [
    (375, 500, 224, 256, 341, 16, 58),  # left 58.5, to even
    (500, 375, 224, 341, 256, 58, 16),
    (72, 104, 64, 73, 105, 4, 20),  # top 4.5, left 20.5
    (105, 72, 63, 105, 72, 21, 4),  # only cropped; top 21, left 4.5
    (40, 41, 224, 256, 262, 16, 19),  # enlarged
    (300, 300, 32, 36, 36, 2, 2),
    (31, 999, 62, 70, 2255, 4, 1096),  # long side 2255.8, left 1096.5
]


@pytest.mark.parametrize(("height", "width", "size", "tall", "wide", "top", "left"), CASES)
def test_short_side_is_resized_and_the_centre_cut(rng, height, width, size, tall, wide, top, left):
    coarse = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3))
    array = coarse.repeat(4, 0).repeat(4, 1)[:height, :width].astype("uint8")
    crop = eval_transform(array, size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    assert crop.flags.writeable
    resized = np.rint(bicubic(array, wide, 1).clip(0, 255))
    resized = np.rint(bicubic(resized, tall, 0).clip(0, 255))
    expected = resized[top : top + size, left : left + size]
    assert np.abs(crop - expected).max() <= 1  # Pillow's weights have 22 bits
    assert (crop == expected).mean() > 0.99


def test_file_picture_and_array_give_the_same(tmp_path, pixels):
    path = save(tmp_path / "a.png", pixels)
    expected = eval_transform(pixels, 32)
    np.testing.assert_array_equal(eval_transform(path, 32), expected)
    np.testing.assert_array_equal(eval_transform(str(path), 32), expected)
    np.testing.assert_array_equal(eval_transform(Image.open(path), 32), expected)
    gray = eval_transform(pixels[..., 0], 32)
    np.testing.assert_array_equal(gray, eval_transform(np.stack([pixels[..., 0]] * 3, -1), 32))


def test_defaults_are_those_of_the_published_weights():
    published = [facts for (_, name), facts in WEIGHTS.items() if name == "imagenet"]
    assert len(published) == 4 + 7
    crop = eval_transform(np.zeros((300, 400, 3), "uint8"))
    for facts in published:
        assert crop.shape[0] == facts.image_size
        assert images.default_resize_size(facts.image_size) == facts.resize_size
    assert images.default_resize_size(384) == 438  # 438.86


def test_resize_size_can_be_chosen(pixels):
    whole = eval_transform(pixels[:, :48], 48, resize_size=48)
    np.testing.assert_array_equal(whole, pixels[:, :48])
    with pytest.raises(ValueError, match="resize_size"):
        eval_transform(pixels, 48, resize_size=47)
    with pytest.raises(ValueError, match="got 0"):
        eval_transform(pixels, 0)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((9, 9, 3), "float32"),
        ((9, 9, 3), "int64"),
        ((3, 9, 9), "uint8"),
        ((9, 9, 4), "uint8"),
        ((2, 9, 9, 3), "uint8"),
        ((9,), "uint8"),
        ((0, 9, 3), "uint8"),
    ],
)
def test_other_arrays_are_refused_with_their_shape(shape, dtype):
    with pytest.raises(ValueError, match="image array"):
        eval_transform(np.zeros(shape, dtype), 8)


def test_image_too_long_to_resize_is_refused():
    with pytest.raises(ImageError, match="too long"):
        eval_transform(np.zeros((1, 2000, 3), "uint8"))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_size_is_that_of_what_is_loaded(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    assert images.image_size(path) == load_image(path).shape[:2]
    assert images.image_size(path) == ((30, 20) if orientation > 4 else (20, 30))
