"""Images with labels from tensorflow-datasets."""

import io
import sys

import numpy as np
import pytest
from segmentation_data import saved

from keras_pvt.segmentation.data.opening import open_split, open_train_and_val
from keras_pvt.segmentation.data.samples import LabelRule

pytestmark = pytest.mark.one_backend("reads files")


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    """A folder for the sets "tiny_scenes", "named_scenes" and "plain_scenes"."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")
    features = tfds.features

    class TinyScenes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        # As scene_parse150 has them: two images, of which the second is read as RGB by tfds.
        FEATURES = {  # noqa: RUF012
            "image": features.Image(encoding_format="jpeg"),
            "annotation": features.Image(encoding_format="png"),
        }

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=features.FeaturesDict(self.FEATURES)
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples(5), "test": self._generate_examples(2)}

        def _generate_examples(self, count):
            key = next(key for key in self.FEATURES if key not in ("image", "label"))
            for n in range(count):
                ids = np.full((6, 8 + n), n % 4, "uint8")
                jpeg = saved(np.full((6, 8 + n, 3), 40 * n, "uint8"), "RGB", "jpeg", quality=95)
                label = {"label": 0} if "label" in self.FEATURES else {}
                yield n, {"image": io.BytesIO(jpeg), key: io.BytesIO(saved(ids, "L")), **label}

    class NamedScenes(TinyScenes):
        FEATURES = {  # noqa: RUF012
            "image": features.Image(encoding_format="jpeg"),
            "label": features.ClassLabel(num_classes=2),
            "segmentation_mask": features.LabeledImage(
                labels=["sky", "sea", "land", "ice"], shape=(None, None, 1)
            ),
        }

    class PlainScenes(TinyScenes):
        FEATURES = {"image": features.Image()}  # noqa: RUF012

        def _generate_examples(self, count):
            yield 0, {"image": np.zeros((3, 3, 3), "uint8")}

    return tmp_path_factory.mktemp("tfds")


@pytest.mark.parametrize(
    ("name", "classes"),
    [("tiny_scenes", tuple("0123")), ("named_scenes", ("sky", "sea", "land", "ice"))],
)
def test_a_set_of_tensorflow_datasets(tfds_dir, name, classes):
    train, val = open_train_and_val(name, data_dir=tfds_dir)
    assert (len(train), len(val)) == (5, 2)
    assert train.classes == val.classes == classes
    assert train.report.lines() == val.report.lines() == []
    seen = set()
    for n in range(5):
        number = train.image(n).shape[1] - 8
        seen.add(number)
        assert abs(train.image(n).astype(int) - 40 * number).max() <= 1
        np.testing.assert_array_equal(train.labels(n), np.full((6, 8 + number), number % 4))
    assert seen == set(range(5))
    assert val.name(0) == f"image 0 of {name}, test"
    reduced = open_split(name, "test", rule=LabelRule(reduce_zero=True), data_dir=tfds_dir)
    assert len(reduced) == 1
    assert list(reduced.report.counts) == ["label whose every pixel is ignored: left out"]


def test_sets_that_will_not_do(tfds_dir, monkeypatch):
    with pytest.raises(ValueError, match=r'needs "image" and one other image.*it has image\.'):
        open_split("plain_scenes", "train", data_dir=tfds_dir)
    with pytest.raises(ValueError, match="'elsewhere'"):
        open_split("tiny_scenes", "elsewhere", data_dir=tfds_dir)
    monkeypatch.setitem(sys.modules, "array_record", None)
    with pytest.raises(ImportError, match="'scene_parse150' is no folder"):
        open_split("scene_parse150", "train")
