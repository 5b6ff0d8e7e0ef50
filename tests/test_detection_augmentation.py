"""Flips, scales and batches: boxes stay where their objects are."""

import dataclasses

import numpy as np
import pytest
from detection_data import HEIGHT, WIDTH, write_set

from keras_pvt.detection.augmentation import Augmentation, visible
from keras_pvt.detection.batches import DetectionBatches
from keras_pvt.detection.coco import load_coco
from keras_pvt.detection.geometry import PADDING, Placement

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
    augmentation = Augmentation(flip_x, flip_y, scales=(0.4, 1.6))
    box = np.array([37, 20, 95, 66])
    seen = 0
    for _ in range(30):
        placement = augmentation.draw(SOURCE, CANVAS, rng)
        assert (placement.flip_x, placement.flip_y) == (flip_x, flip_y)
        moved, keep = visible(placement.boxes(box[None]), CANVAS)
        if keep[0]:
            seen += 1
            pixels = placement.image(with_rectangle(box))
            assert pixels.shape == (*CANVAS, 3)
            np.testing.assert_allclose(moved[0], extent(pixels), atol=0.8)
    assert seen > 20


def test_scales_and_positions_vary(rng):
    draws = [Augmentation(scales=(0.5, 1.5)).draw(SOURCE, CANVAS, rng) for _ in range(300)]
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
    placement = Placement.fit(SOURCE, canvas)
    assert placement.target == target
    pixels = placement.image(np.full((*SOURCE, 3), 255, "uint8"))
    np.testing.assert_array_equal(extent(pixels), [0, 0, target[1], target[0]])
    np.testing.assert_array_equal(pixels[-1, -1], PADDING)
    box = np.array([[10.5, 3, 129, 88.25]], "float32")
    np.testing.assert_allclose(placement.boxes_back(placement.boxes(box)), box, atol=1e-4)
    outside = np.array([[-9.0, -9, 500, 500]])
    assert placement.boxes_back(outside).tolist() == [[0, 0, SOURCE[1], SOURCE[0]]]


def test_the_way_back_undoes_moves_and_flips(rng):
    for _ in range(10):
        placement = Augmentation(flip_y=0.5, scales=(0.5, 1.5)).draw(SOURCE, CANVAS, rng)
        box = np.array([[12.0, 7, 90, 60]])
        np.testing.assert_allclose(placement.boxes_back(placement.boxes(box)), box, atol=1e-4)


def test_boxes_that_can_hardly_be_seen_are_dropped():
    boxes = np.array([[-60, 0, 40, 10], [-80, 0, 20, 10], [90, 60, 96.5, 60.5], [200, 0, 210, 9]])
    clipped, keep = visible(boxes, CANVAS)
    assert keep.tolist() == [True, False, False, False]  # 40 % and 20 % left, too flat, outside
    assert clipped[0].tolist() == [0, 0, 40, 10]


@pytest.fixture
def data(tmp_path, rng):
    return load_coco(write_set(tmp_path, 5, rng), tmp_path / "images")


def batches(data, **options):
    return DetectionBatches(data, CANVAS, 2, Augmentation(flip_y=0.5), **options)


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
    for sample in data.samples:
        sample.path.write_bytes(sample.path.read_bytes()[:300])
    images, labels = batches(data)[0]
    np.testing.assert_array_equal(images, np.broadcast_to(np.float32(PADDING), images.shape))
    assert (labels["classes"] == -1).all()
    assert ".png cannot be read as an image" in caplog.text
    assert (HEIGHT, WIDTH) == CANVAS
