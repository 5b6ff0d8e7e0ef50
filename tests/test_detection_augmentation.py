"""Flips, scales and batches: boxes stay where their objects are."""

import dataclasses

import numpy as np
import pytest
from detection_data import HEIGHT, WIDTH, write_set

from keras_pvt.detection.data.augmentation import FixedCanvas, KeepRatio, visible
from keras_pvt.detection.data.batches import DetectionBatches, grouped
from keras_pvt.detection.data.coco import load_coco
from keras_pvt.detection.data.letterbox import PADDING, Letterbox

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

CANVAS = (64, 96)
SOURCE = (90, 130)


def extent(pixels):
    """xyxy of what is bright: found in the pixels, not computed from boxes."""
    bright = pixels[..., 0] > 190
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def with_rectangle(box):
    pixels = np.zeros((*SOURCE, 3), "uint8")
    x1, y1, x2, y2 = box
    pixels[y1:y2, x1:x2] = 255
    return pixels


@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
def test_boxes_follow_pixels(flip_x, flip_y, rng):
    augmentation = FixedCanvas(CANVAS, flip_x, flip_y, scales=(0.4, 1.6))
    box = np.array([37, 20, 95, 66])
    seen = 0
    for _ in range(30):
        letterbox = augmentation.draw(SOURCE, rng)
        assert (letterbox.flip_x, letterbox.flip_y) == (flip_x, flip_y)
        moved, keep = visible(letterbox.boxes(box[None]), CANVAS)
        if keep[0]:
            seen += 1
            pixels = letterbox.image(with_rectangle(box))
            mask = letterbox.mask(with_rectangle(box)[..., 0] // 255)
            assert pixels.shape == (*CANVAS, 3)
            np.testing.assert_allclose(moved[0], extent(pixels), atol=0.8)
            np.testing.assert_allclose(moved[0], extent(mask[..., None] * 255), atol=1)
    assert seen > 20


def test_scales_and_positions_vary(rng):
    augmentation = FixedCanvas(CANVAS, scales=(0.5, 1.5))
    draws = [augmentation.draw(SOURCE, rng) for _ in range(300)]
    scales = [draw.target[0] / 64 for draw in draws]
    assert 0.49 < min(scales) < 0.53
    assert 1.45 < max(scales) < 1.51
    assert 0.4 < np.mean([draw.flip_x for draw in draws]) < 0.6
    assert not any(draw.flip_y for draw in draws)
    smaller = [draw for draw in draws if draw.target[1] < CANVAS[1]]
    assert min(draw.left for draw in smaller) == 0
    assert all(0 <= draw.left <= CANVAS[1] - draw.target[1] for draw in smaller)
    larger = [draw for draw in draws if draw.target[1] > CANVAS[1]]
    assert all(CANVAS[1] - draw.target[1] <= draw.left <= 0 for draw in larger)
    assert min(draw.left for draw in larger) < -10


@pytest.mark.parametrize(("canvas", "target"), [((64, 128), (64, 92)), ((96, 64), (44, 64))])
def test_fit_shows_all_and_boxes_come_back(canvas, target):
    letterbox = Letterbox.fit(SOURCE, canvas)
    assert letterbox.target == target
    pixels = letterbox.image(np.full((*SOURCE, 3), 255, "uint8"))
    np.testing.assert_array_equal(extent(pixels), [0, 0, target[1], target[0]])
    np.testing.assert_array_equal(pixels[-1, -1], PADDING)
    box = np.array([[10.5, 3, 129, 88.25]], "float32")
    np.testing.assert_allclose(letterbox.boxes_back(letterbox.boxes(box)), box, atol=1e-4)
    outside = np.array([[-9.0, -9, 500, 500]])
    assert letterbox.boxes_back(outside).tolist() == [[0, 0, SOURCE[1], SOURCE[0]]]


def test_the_way_back_undoes_moves_and_flips(rng):
    for _ in range(10):
        letterbox = FixedCanvas(CANVAS, flip_y=0.5, scales=(0.5, 1.5)).draw(SOURCE, rng)
        box = np.array([[12.0, 7, 90, 60]])
        np.testing.assert_allclose(letterbox.boxes_back(letterbox.boxes(box)), box, atol=1e-4)


def test_boxes_that_can_hardly_be_seen_are_dropped():
    boxes = np.array([[-60, 0, 40, 10], [-80, 0, 20, 10], [90, 60, 96.5, 60.5], [200, 0, 210, 9]])
    clipped, keep = visible(boxes, CANVAS)
    assert keep.tolist() == [True, False, False, False]  # 40 % and 20 % left, too flat, outside
    assert clipped[0].tolist() == [0, 0, 40, 10]


@pytest.fixture
def data(tmp_path, rng):
    return load_coco(write_set(tmp_path, 5, rng), tmp_path / "images")


def batches(data, **options):
    return DetectionBatches(data, 2, FixedCanvas(CANVAS, flip_y=0.5), **options)


def test_batches_are_the_same_for_a_seed_and_differ_by_epoch(data):
    first, again, later = batches(data), batches(data), batches(data, first_epoch=1)
    assert len(first) == 2
    np.testing.assert_array_equal(first[1][0], again[1][0])
    np.testing.assert_array_equal(first[1][1]["boxes"], again[1][1]["boxes"])
    assert (first[0][0] != later[0][0]).any()
    first.on_epoch_end()
    np.testing.assert_array_equal(first[0][0], later[0][0])


def test_a_batch_is_dense_and_its_boxes_lie_on_the_objects(data):
    images, labels = batches(data, label_key="labels")[0]
    assert images.shape == (2, *CANVAS, 3)
    assert (images.dtype, labels["boxes"].dtype, labels["labels"].dtype) == ("float32",) * 3
    assert labels["boxes"].shape == (2, data.max_boxes, 4)
    for image, boxes, classes in zip(images, labels["boxes"], labels["labels"], strict=True):
        assert (classes >= 0).any()
        for box, label in zip(boxes, classes, strict=True):
            if label < 0:
                assert box.tolist() == [0, 0, 0, 0]
                continue
            x1, y1, x2, y2 = np.rint(box).astype(int)
            inner = image[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].mean((0, 1))
            assert inner.argmax() == (0 if label == 0 else 2)  # red or blue


def test_crowds_are_not_trained_on_and_a_broken_file_stops_nothing(data, caplog):
    crowd = [dataclasses.replace(s, crowd=np.array([True, False])) for s in data.samples]
    data = dataclasses.replace(data, samples=crowd)
    assert {int(label) for b in range(2) for label in batches(data)[b][1]["classes"].ravel()} == {1}
    broken = data.samples[0].path
    broken.write_bytes(broken.read_bytes()[:300])
    made = batches(data)
    for index in range(2):
        _, labels = made[index]
        assert (labels["classes"] >= 0).any(axis=1).all()  # another takes its place
    if str(broken) in made.skipped:  # of five images, one is left out of an epoch
        assert "truncated; another image takes its place" in caplog.text
    for sample in data.samples:
        sample.path.write_bytes(sample.path.read_bytes()[:300])
    with pytest.raises(ValueError, match="images in a row cannot be read"):
        batches(data)[0]
    assert (HEIGHT, WIDTH) == CANVAS


@pytest.mark.parametrize(
    ("source", "target", "canvas"),
    [  # (height, width), by mmdetection's rule: the long side decides from a ratio of 5:3 on
        ((480, 640), (800, 1067), (800, 1088)),
        ((640, 427), (1199, 800), (1216, 800)),
        ((375, 500), (800, 1067), (800, 1088)),
        ((200, 600), (444, 1333), (448, 1344)),
    ],
)
def test_published_sizes(source, target, canvas, rng):
    letterbox = KeepRatio(flip_x=0).draw(source, rng)
    assert (letterbox.target, letterbox.canvas) == (target, canvas)
    assert (letterbox.left, letterbox.top, letterbox.visible_size) == (0, 0, target)


def test_short_sides_are_drawn_from_all_that_there_are(rng):
    draws = [KeepRatio((640, 800), step=32).draw((480, 640), rng) for _ in range(200)]
    assert {draw.target[0] for draw in draws} == {640, 672, 704, 736, 768, 800}
    draws = [KeepRatio((640, 643)).draw((480, 640), rng) for _ in range(200)]
    assert {draw.target[0] for draw in draws} == {640, 641, 642, 643}
    assert 0.3 < np.mean([draw.flip_x for draw in draws]) < 0.7


def test_a_flipped_image_stays_in_the_corner():
    letterbox = Letterbox.within(SOURCE, 40, 60, flip_x=True)
    assert (letterbox.target, letterbox.canvas) == ((40, 58), (64, 64))
    pixels = letterbox.image(np.full((*SOURCE, 3), 255, "uint8"))
    np.testing.assert_array_equal(extent(pixels), [0, 0, 58, 40])
    box = np.array([[0.0, 0, 13, 9]])
    np.testing.assert_allclose(letterbox.boxes(box), [[52.2, 0, 58, 4]], atol=1e-4)
    np.testing.assert_allclose(letterbox.boxes_back(letterbox.boxes(box)), box, atol=1e-4)


def test_pixels_are_sampled_as_opencv_does_it():
    image = np.zeros((4, 4, 3), "uint8")
    image[:, 1] = 200
    half = Letterbox((2, 2), (4, 4), (2, 2), antialias=False).image(image)
    # Centres of the new columns lie between the old ones 0 and 1, and 2 and 3.
    np.testing.assert_array_equal(half[..., 0], [[100, 0], [100, 0]])


def test_batches_of_unequal_sizes_tell_them_and_have_masks(tmp_path, rng):
    file = write_set(tmp_path, 4, rng, masks=True)
    data = load_coco(file, tmp_path / "images", masks=True)
    augmentation = KeepRatio((40, 64), long_side=96)
    made = DetectionBatches(data, 2, augmentation, sizes=True, named=True, masks=True)
    x, labels = made[0]
    assert set(x) == {"images", "sizes"}
    np.testing.assert_array_equal(x["sizes"], labels["sizes"])
    assert labels["masks"].shape == (2, 2, *x["images"].shape[1:3])
    assert not any(side % 32 for side in x["images"].shape[1:3])
    for image, (height, width), boxes, masks in zip(
        x["images"], x["sizes"], labels["boxes"], labels["masks"], strict=True
    ):
        assert 40 <= height <= 64
        np.testing.assert_array_equal(image[height:], np.full_like(image[height:], PADDING))
        np.testing.assert_array_equal(image[:, width:], np.full_like(image[:, width:], PADDING))
        for box, mask in zip(boxes, masks, strict=True):
            np.testing.assert_allclose(extent(mask[..., None] * 255), box, atol=1)


def test_masks_are_padded_to_a_power_of_two(tmp_path, rng):
    file = write_set(tmp_path, 2, rng, masks=True)
    data = load_coco(file, tmp_path / "images", masks=True)
    many = [
        dataclasses.replace(
            one,
            **{
                name: np.concatenate([getattr(one, name)] * 3)[:5]
                for name in ("boxes", "labels", "areas", "crowd")
            },
            segmentations=(one.segmentations * 3)[:5],
        )
        for one in data.samples
    ]
    data = dataclasses.replace(data, samples=many)
    _, labels = DetectionBatches(data, 2, FixedCanvas(CANVAS, scales=(1, 1)), masks=True)[0]
    assert labels["masks"].shape[1] == labels["boxes"].shape[1] == 8
    assert (labels["classes"][:, 5:] == -1).all()
    assert not labels["masks"][:, 5:].any()


def test_grouped_batches_have_one_kind_and_all_samples(rng):
    wide = np.arange(23) % 3 > 0
    shuffled = rng.permutation(23)
    order = grouped(shuffled, wide[shuffled], 4, rng)
    assert sorted(order) == list(range(23))
    kinds = wide[order[:20]].reshape(-1, 4)
    mixed = [kind for kind in kinds if kind.any() != kind.all()]
    assert len(mixed) <= 1  # that of the rests
