import keras
import numpy as np
import pytest

from keras_pvt.classification import decoding
from keras_pvt.classification.decoding import decode_predictions, read_classes
from keras_pvt.variants import VARIANTS, WEIGHTS

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")


def test_best_classes_first_with_id_name_and_value():
    preds = np.zeros((2, 1000), "float32")
    preds[0, [285, 0, 999]] = 0.625, 0.25, 0.125
    preds[1, [817, 1]] = 0.75, 0.25
    first, second = decode_predictions(preds, top=3)
    assert first == [
        ("n02124075", "Egyptian_cat", 0.625),
        ("n01440764", "tench", 0.25),
        ("n15075141", "toilet_tissue", 0.125),
    ]
    assert second[:2] == [("n04285008", "sports_car", 0.75), ("n01443537", "goldfish", 0.25)]
    assert type(first[0][2]) is float


def test_a_table_is_named():
    (row,) = decode_predictions(np.arange(10)[None] / 45, top=20, classes="cifar10")
    assert [name for _, name, _ in row[:3]] == ["truck", "ship", "horse"]
    assert row[-1] == ("cifar10_0", "airplane", 0.0)
    assert len(row) == 10
    with pytest.raises(ValueError, match="one of imagenet, cifar10; got 'coco'"):
        decode_predictions(np.zeros((1, 10)), classes="coco")


@pytest.mark.parametrize("count", [10, 1000])
def test_names_of_ones_own(count):
    """Nothing is told from how many there are."""
    names = [f"fish {n}" for n in range(count)]
    preds = np.eye(count)[7:8]
    assert decode_predictions(preds, 1, names) == [[("fish 7", "fish 7", 1.0)]]
    pairs = [(f"id{n}", name) for n, name in enumerate(names)]
    assert decode_predictions(preds, 1, pairs) == [[("id7", "fish 7", 1.0)]]
    with pytest.raises(ValueError, match=rf"\(batch, {count - 1}\), as `classes` names"):
        decode_predictions(preds, 1, names[:-1])


def test_names_from_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("a cat\nÄffchen \n", "utf-8")
    assert read_classes(str(path)) == ["a cat", "Äffchen"]
    path.write_text("a\nb", "utf-8")
    assert read_classes(str(path)) == ["a", "b"]
    assert read_classes("cifar10") == "cifar10"
    for text in ("a\n\nb\n", "a\na\n", ""):
        path.write_text(text)
        with pytest.raises(ValueError, match="a different name is wanted in each of"):
            read_classes(str(path))
    with pytest.raises(FileNotFoundError):
        read_classes("cifar100")


def test_five_by_default_and_ties_in_class_order():
    (row,) = decode_predictions(np.full((1, 1000), 0.001))
    assert [id_ for id_, _, _ in row] == [id_ for id_, _ in decoding.class_table("imagenet")[:5]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_tensors_of_the_backend_are_taken(dtype):
    preds = keras.ops.one_hot(keras.ops.array([3, 5]), 10, dtype=dtype)
    found = decode_predictions(preds, classes="cifar10")
    assert [row[0][1] for row in found] == ["cat", "dog"]


@pytest.mark.parametrize("shape", [(1000,), (1, 999), (1, 10), (1, 1, 1000), (2, 7), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(batch, 1000\), as 'imagenet' has 1000.*got shape"):
        decode_predictions(np.zeros(shape))


@pytest.mark.parametrize("top", [0, -1, 2.0, True, None])
def test_top_must_be_a_positive_integer(top):
    with pytest.raises(ValueError, match="top"):
        decode_predictions(np.zeros((1, 1000)), top)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        decode_predictions(np.full((1, 1000), np.nan))


def test_tables_fit_the_weights():
    synsets = [id_ for id_, _ in decoding.class_table("imagenet")]
    assert synsets == sorted(set(synsets))  # the order of the head is that of the synset ids
    named = {key: facts for key, facts in WEIGHTS.items() if facts.classes is not None}
    assert {facts.classes for facts in named.values()} <= set(decoding.TABLES)
    for (variant, _), facts in named.items():
        assert len(decoding.class_table(facts.classes)) == VARIANTS[variant].classes
