"""Images with labels: from which folders, what is wrong with them, how ids become labels."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from segmentation_data import saved, split, write_pairs

from keras_pvt.segmentation.data.checking import lines_on_classes
from keras_pvt.segmentation.data.label_files import NoIdsError, decode_ids, load_ids
from keras_pvt.segmentation.data.opening import open_split, open_train_and_val
from keras_pvt.segmentation.data.samples import IGNORED, LabelRule
from keras_pvt.utils.images import ImageError, load_image

pytestmark = pytest.mark.one_backend("reads files")

IDS = np.arange(6 * 8).reshape(6, 8) % 5


@pytest.mark.parametrize(
    ("rule", "ids", "labels"),
    [
        (LabelRule(), [0, 1, 3, 4, 254, 255, 256, -1], [0, 1, 3, 255, 255, 255, 255, 255]),
        (LabelRule((1, 300)), [0, 1, 2, 300, 255], [0, 255, 2, 255, 255]),
        (LabelRule(()), [3, 4, 255], [3, 255, 255]),
        (LabelRule(reduce_zero=True), [0, 1, 4, 5, 255], [255, 0, 3, 255, 255]),
        (LabelRule((2,), reduce_zero=True), [0, 1, 2, 3, 256], [255, 0, 255, 2, 255]),
    ],
)
def test_the_rule(rule, ids, labels):
    made = rule.labels(np.array(ids), 4)
    assert (made.dtype, made.tolist()) == ("uint8", labels)


@given(
    st.frozensets(st.integers(0, 255), max_size=4), st.booleans(), st.integers(1, 255), st.data()
)
def test_the_rule_for_bytes_is_that_for_any_integers(ignore, reduce_zero, classes, data):
    rule = LabelRule(tuple(ignore), reduce_zero)
    ids = np.array(data.draw(st.lists(st.integers(0, 255), min_size=4, max_size=4)))
    made = rule.labels(ids.reshape(2, 2).astype("uint8"), classes).ravel()
    np.testing.assert_array_equal(made, rule.labels(ids.astype("int32"), classes))
    for number, label in zip(ids.tolist(), made.tolist(), strict=True):
        moved = number - reduce_zero
        usable = number not in ignore and 0 <= moved < classes
        assert label == (moved if usable else IGNORED)


def test_ids_are_read_as_they_are_stored(tmp_path):
    assert load_ids_of(tmp_path, saved(IDS.astype("uint8"), "L")).tolist() == IDS.tolist()
    deep = np.array([[0, 1, 256], [300, 65535, 7]], "uint16")
    assert load_ids_of(tmp_path, saved(deep, "I;16")).tolist() == deep.tolist()
    deep = np.array([[0, -1, 70000]], "int32")
    assert load_ids_of(tmp_path, saved(deep, "I", "tiff")).tolist() == deep.tolist()
    bits = np.array([[True, False], [True, True]])
    assert load_ids_of(tmp_path, saved(bits, "1")).tolist() == [[1, 0], [1, 1]]
    # The index counts, not the colour; of 8, 4 and 2 bits.
    for bits in (8, 4, 2):
        palette = Image.fromarray((IDS % 4).astype("uint8")).convert("P")
        palette.putdata((IDS % 4).ravel().tolist())
        palette.putpalette([200, 10, 10, 0, 0, 0, 9, 9, 9, 255, 255, 255])
        file = io.BytesIO()
        palette.save(file, "png", bits=bits, transparency=1)
        assert load_ids_of(tmp_path, file.getvalue()).tolist() == (IDS % 4).tolist()


def test_more_classes_than_labels_have_numbers():
    """uint8 would give 300 the number of class 44."""
    ids = np.array([[0, 300]])
    with pytest.raises(ValueError, match="at most 255 classes; got 301"):
        LabelRule().labels(ids, 301)
    assert LabelRule().labels(ids, 255).tolist() == [[0, 255]]


def load_ids_of(folder, content):
    path = folder / "ids.png"
    path.write_bytes(content)
    ids = load_ids(path)
    np.testing.assert_array_equal(decode_ids(content, "it"), ids)
    return ids


@pytest.mark.parametrize("bits", [2, 4])
def test_gray_of_few_bits_is_not_stretched(bits):
    # Pillow does not write such files; this is what the PNG specification says.
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    ids = np.array([[0, 1, 2, 3], [3, 2, 1, 2**bits - 1]])
    rows = b""
    for row in ids.tolist():
        number = 0
        for value in row:
            number = number << bits | value
        rows += b"\0" + number.to_bytes(4 * bits // 8, "big")
    content = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 2, bits, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    assert decode_ids(content, "it").tolist() == ids.tolist()


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (saved(np.zeros((4, 4, 3), "uint8"), "RGB"), NoIdsError, "of kind RGB, where labels"),
        (saved(np.zeros((4, 4), "uint8"), "LA"), NoIdsError, "of kind LA"),
        (saved(np.zeros((4, 4), "float32"), "F", "tiff"), NoIdsError, "of kind F"),
        (saved(np.zeros((4, 4), "uint8"), "L", "jpeg"), NoIdsError, "JPEG, which changes ids"),
        (b"no image", ImageError, "cannot be read as labels"),
        (saved(IDS.astype("uint8"), "L")[:-30], ImageError, "cannot be read as labels"),
    ],
)
def test_files_without_ids(tmp_path, content, error, words):
    path = tmp_path / "ids.png"
    path.write_bytes(content)
    with pytest.raises(error, match=words) as raised:
        load_ids(path)
    assert str(path) in str(raised.value)
    assert type(raised.value) is error
    with pytest.raises(error, match="the seventh"):
        decode_ids(content, "the seventh")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("{}", "{}_labels"),
        ("images/{}", "annotations/{}"),
        ("images/{}", "labels/{}"),
        ("images/{}", "masks/{}"),
        ("{}/images", "{}/masks"),
    ],
)
@pytest.mark.parametrize(
    "names",
    [("train", "val"), ("training", "validation"), ("train", "test"), ("train", "valid")],
)
def test_layouts(tmp_path, images, labels, names):
    for name, count in zip(names, (3, 2), strict=True):
        write_pairs(
            tmp_path / images.format(name),
            tmp_path / labels.format(name),
            {f"{name}{n}": np.full((4, 5 + n), n) for n in range(count)},
        )
    train, val = open_train_and_val(tmp_path)
    assert (len(train), len(val)) == (3, 2)
    assert train.classes == val.classes == ("0", "1", "2")
    for data, name in zip((train, val), names, strict=True):
        assert data.report.lines() == []
        for n in range(len(data)):
            assert data.name(n).endswith(f"{name}{n}.png")
            assert data.labels(n).dtype == "uint8"
            np.testing.assert_array_equal(data.labels(n), np.full((4, 5 + n), n))
            np.testing.assert_array_equal(data.image(n), load_image(data.name(n)))
            assert data.image(n)[0, 0].tolist() == [n, 0, 0]


def test_a_layout_that_is_not_there(tmp_path):
    write_pairs(tmp_path / "train", tmp_path / "labels", {"a": IDS})
    with pytest.raises(FileNotFoundError, match=r"'train'; they .* train with train_labels, or im"):
        open_split(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        open_split(tmp_path / "absent", "train")
    plain = r"has no images with labels. It may have images/ and masks/; or train/ and train_"
    with pytest.raises(FileNotFoundError, match=plain):
        open_train_and_val(tmp_path, val_split=0.2)


def test_classes(tmp_path):
    write_pairs(*split(tmp_path), {"a": IDS, "b": IDS * 0 + 2})
    assert open_split(tmp_path, "train").classes == tuple("01234")
    assert open_split(tmp_path, "train", rule=LabelRule((3, 4))).classes == tuple("012")
    assert open_split(tmp_path, "train", rule=LabelRule(reduce_zero=True)).classes == tuple("0123")
    assert open_split(tmp_path, "train", 7).classes == tuple("0123456")
    (tmp_path / "classes.txt").write_text("sky\n\n  a road \r\ncar\ntree\nsign\n", "utf-8")
    assert open_split(tmp_path, "train").classes == ("sky", "a road", "car", "tree", "sign")
    names = ("v", "w", "x", "y", "z")
    assert open_split(tmp_path, "train", list(names)).classes == names


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("sky", "names or a number; got the text 'sky'"),
        (0, "1 to 255 classes; got 0"),
        (256, "1 to 255 classes; got 256"),
        (["a", "b", "a"], "twice there: a"),
    ],
)
def test_classes_that_will_not_do(tmp_path, classes, words):
    write_pairs(*split(tmp_path), {"a": IDS})
    with pytest.raises(ValueError, match=words):
        open_split(tmp_path, "train", classes)
    (tmp_path / "classes.txt").write_text("\n \n")
    with pytest.raises(ValueError, match=r"classes\.txt must have"):
        open_split(tmp_path, "train")


def test_what_is_wrong_is_named_and_left_out(tmp_path):
    images, labels = split(tmp_path)
    good = dict.fromkeys(["good", "odd", "deep"], IDS)
    good["odd"] = np.where(IDS == 4, 200, IDS)
    good["deep"] = np.where(IDS == 0, 256, IDS).astype("uint16")
    bad = dict.fromkeys(["alone", "cut", "broken", "colours", "size", "void", "far"], IDS)
    bad["void"] = np.full((6, 8), 255)
    bad["far"] = np.full((6, 8), 99)
    write_pairs(images, labels, good | bad)
    (labels / "alone.png").unlink()
    (images / "good.png").rename(images / "good.bmp")
    Image.open(images / "odd.png").save(images / "odd.webp")  # a second one
    write_pairs(tmp_path / "elsewhere", labels, {"orphan": IDS})
    (images / "notes.txt").write_text("no image")
    (images / ".hidden.png").write_text("no image")
    for path, size in ((images / "cut.png", 40), (labels / "broken.png", 20)):
        path.write_bytes(path.read_bytes()[:size])
    Image.new("RGB", (8, 6)).save(labels / "colours.png")
    Image.fromarray(IDS.T.astype("uint8")).save(labels / "size.png")

    data = open_split(tmp_path, "train", 5)
    assert [data.name(n).split("/")[-1].split(".")[0] for n in range(len(data))] == [
        "deep",
        "good",
        "odd",
    ]
    np.testing.assert_array_equal(data.labels(0), np.where(IDS == 0, IGNORED, IDS))
    np.testing.assert_array_equal(data.labels(1), IDS)
    np.testing.assert_array_equal(data.labels(2), np.where(IDS == 4, IGNORED, IDS))
    lines = dict(line.split("; the first is ", 1) for line in data.report.lines())
    expected = {
        "1 x file without the ending of an image: passed over": "notes.txt",
        "1 x image without a label: left out": "alone.png",
        "1 x label without an image: left out": "orphan.png",
        "1 x second file of a name: left out": "odd.webp",
        "1 x image that cannot be read: left out": "cut.png cannot be read as an image",
        "1 x label that cannot be read: left out": "broken.png cannot be read as labels",
        "1 x label without class ids: left out": "colours.png has pixels of kind RGB",
        "1 x label of another size than its image: left out": "size.png, 8 x 6, its label 6 x 8",
        "2 x label whose every pixel is ignored: left out": "far.png",
        "3 x label with ids that none of the 5 classes has: ignored, as by --ignore": (
            "deep.png, with 256"
        ),
    }
    assert lines.keys() == expected.keys()
    for kind, where in expected.items():
        assert where in lines[kind], kind


def test_nothing_to_use(tmp_path):
    write_pairs(*split(tmp_path), {"a": np.full((4, 4), 255), "b": np.full((4, 4), 255)})
    with pytest.raises(ValueError, match=r"no image and label to use in 'train'; 2 x label whose"):
        open_split(tmp_path, "train")
    (tmp_path / "train" / "a.png").rename(tmp_path / "train" / "c.png")
    (tmp_path / "train" / "b.png").rename(tmp_path / "train" / "d.png")
    with pytest.raises(
        ValueError, match=r"to use in 'train'; 2 x image without a label.*2 x label"
    ):
        open_split(tmp_path, "train")


def test_nothing_to_use_without_splits(tmp_path):
    write_pairs(tmp_path / "images", tmp_path / "masks", {"a": np.full((4, 5), 255)})
    with pytest.raises(ValueError, match=r"has no image and label to use; 1 x "):
        open_train_and_val(tmp_path, val_split=0.5)


@pytest.mark.parametrize(
    ("ids", "classes", "rule", "lines"),
    [
        # Every class that no pixel has, however many there are.
        (
            [[0, 3], [3, 0]],
            list("abcdefgh"),
            LabelRule(),
            ["6 of 8 classes have no pixel and are not learnt: b, c, e, f, g, h"],
        ),
        ([[0, 1], [2, 255]], list("abc"), LabelRule(), []),
        # A mask of two numbers, one of which is no class.
        (
            [[0, 255], [255, 0]],
            ["background", "polyp"],
            LabelRule(),
            [
                "1 of 2 classes have no pixel and are not learnt: polyp",
                "the labels hold 0 and 255 alone, and 255 is ignored, as it is no class; where it "
                "stands for one, write 1 in its place",
            ],
        ),
        (
            [[0, 128], [0, 0]],  # ignored by nobody, and no class all the same
            ["background", "polyp"],
            LabelRule(()),
            [
                "1 of 2 classes have no pixel and are not learnt: polyp",
                "the labels hold 0 and 128 alone, and 128 is ignored, as it is no class; where it "
                "stands for one, write 1 in its place",
            ],
        ),
        (
            [[0, 255], [255, 0]],
            None,
            LabelRule(),
            [
                "the labels hold 0 and 255 alone, and 255 is ignored, as it is no class; where it "
                "stands for one, write 1 in its place",
            ],
        ),
        (
            [[1, 0], [0, 0]],
            ["polyp", "tool"],
            LabelRule(reduce_zero=True),
            [
                "1 of 2 classes have no pixel and are not learnt: tool",
                "the labels hold 0 and 1 alone, and 0 is ignored, as it is no class; where it "
                "stands for one, write 2 in its place",
            ],
        ),
    ],
)
def test_classes_without_a_pixel(tmp_path, ids, classes, rule, lines):
    write_pairs(*split(tmp_path), {"a": ids, "b": ids})
    assert lines_on_classes(open_split(tmp_path, "train", classes, rule)) == lines


def test_classes_without_a_pixel_of_the_part_that_is_trained_on(tmp_path):
    """Not of what is validated on, nor of what was left out."""
    content = {f"{n:02}": np.full((4, 4), n) for n in range(10)}
    write_pairs(tmp_path / "images", tmp_path / "masks", content | {"10": np.full((4, 4), 10)})
    Image.new("RGB", (3, 3)).save(tmp_path / "images" / "10.png")  # of another size
    classes = [f"class {n}" for n in range(11)]
    train, val = open_train_and_val(tmp_path, classes, val_split=0.2, seed=3)
    held = sorted(int(val.labels(n)[0, 0]) for n in range(len(val)))
    assert len(held) == 2
    names = ", ".join(f"class {n}" for n in [*held, 10])
    assert lines_on_classes(train) == [f"3 of 11 classes have no pixel and are not learnt: {names}"]


def test_val_has_the_classes_of_train(tmp_path):
    write_pairs(*split(tmp_path, "train"), {"a": IDS % 3})
    write_pairs(*split(tmp_path, "val"), {"a": IDS})
    train, val = open_train_and_val(tmp_path, rule=LabelRule((1, 255)))
    assert train.classes == val.classes == tuple("012")
    np.testing.assert_array_equal(val.labels(0), np.where(np.isin(IDS, (0, 2)), IDS, IGNORED))
    assert list(val.report.counts) == [
        "label with ids that none of the 3 classes has: ignored, as by --ignore"
    ]
