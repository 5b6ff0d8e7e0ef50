"""Names on a hub, and which file of a repository has the weights."""

import dataclasses
import pathlib

import pytest

from keras_pvt.download.hub_names import HubName, is_hub_name, weights_file

pytestmark = pytest.mark.one_backend("reads names")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://timm/pvt_v2_b2.in1k", ("timm/pvt_v2_b2.in1k", None, None)),
        ("hf://models/timm/pvt_v2_b2.in1k", ("timm/pvt_v2_b2.in1k", None, None)),
        ("hf://Zetatech/pvt-tiny-224@v1.0", ("Zetatech/pvt-tiny-224", "v1.0", None)),
        ("hf://a/b/last.pth", ("a/b", None, "last.pth")),
        ("hf://a/b@main/runs/3/last.pth", ("a/b", "main", "runs/3/last.pth")),
        ("hf://a/b@refs/pr/12/last.pth", ("a/b", "refs/pr/12", "last.pth")),
        ("hf://a/b@refs/pr/12", ("a/b", "refs/pr/12", None)),
        ("hf://a/b@my%2Fbranch/x.bin", ("a/b", "my/branch", "x.bin")),
    ],
)
def test_names(text, expected):
    name = HubName.parse(text)
    assert dataclasses.astuple(name) == expected
    assert is_hub_name(text)
    if "models" not in text and "%" not in text:
        assert str(name) == text


def test_a_path_has_one_slash():
    path = pathlib.Path("hf://a/b@main")
    assert is_hub_name(path)
    assert HubName.parse(str(path)) == HubName("a/b", "main")
    assert not is_hub_name("/home/hf/model.pth")
    assert not is_hub_name("hf.pth")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hf://", "hf://OWNER/NAME"),
        ("hf://pvt_v2_b2", "should be hf://OWNER/NAME"),
        ("hf://a/b@", "should be"),
        ("hf:///a/b", "should be"),
        ("hf://a/b/", "should be"),
        ("hf://a@main/b", "should be"),
        ("hf://datasets/a/b", "is of datasets; models are named as"),
        ("hf://a b/c", "no repository can be called 'a b/c'"),
        ("hf://-a/c", "no repository"),
        ("hf://a/c--d", "no repository"),
        ("hf://../c", "no repository"),
        (f"hf://a/{'b' * 96}", "no repository"),
        ("hf://a/b@../c", r"'\.\.' is no branch"),
        ("hf://a/b@x%2F..%2Fy", "is no branch"),
        ("hf://a/b@ma in", "is no branch"),
        ("hf://a/b/../../etc/passwd", "is no path in a repository"),
        ("hf://a/b/x//y.bin", "is no path"),
        ("hf://a/b/x\\y.bin", "is no path"),
    ],
)
def test_what_is_no_name(text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        HubName.parse(text)
    assert "\n" not in str(caught.value)
    assert repr(text) in str(caught.value)


def chosen(*files: str, name: str = "hf://a/b") -> str:
    return weights_file(files, HubName.parse(name), "a/b")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("pytorch_model.bin", "model.safetensors", "config.json"), "model.safetensors"),
        (("pytorch_model.bin", "config.json", "tf_model.h5"), "pytorch_model.bin"),
        (("a.pth", "model.pth"), "model.pth"),
        (("a.pth", "b.safetensors", "README.md"), "b.safetensors"),
        (("a.pth", "training_args.bin", "optimizer.pt", "rng_state_0.pth"), "a.pth"),
        (("pvt_tiny.pth", "sub/other.pth"), "pvt_tiny.pth"),
        (("x.npz",), "x.npz"),
        (("last.ckpt", "README.md"), "last.ckpt"),
        (("model_best.pth.tar",), "model_best.pth.tar"),
        (
            ("m-1.safetensors", "m-2.safetensors", "m.safetensors.index.json"),
            "m.safetensors.index.json",
        ),
        (("a_0.weights.h5", "a_1.weights.h5", "a.weights.json"), "a.weights.json"),
    ],
)
def test_which_file_has_the_weights(files, expected):
    assert chosen(*files) == chosen(*files[::-1]) == expected


def test_several_files_none_and_another():
    with pytest.raises(ValueError, match=r"2 files .* a.pth, b.pth: .*hf://a/b@v1/a.pth\.$"):
        chosen("a.pth", "b.pth", name="hf://a/b@v1")
    assert chosen("a.pth", "b.pth", name="hf://a/b@v1/b.pth") == "b.pth"
    assert chosen("model.safetensors", "x/b.pth", name="hf://a/b/x/b.pth") == "x/b.pth"
    with pytest.raises(ValueError, match=r"a/b has no file 'c.pth'; it has a.pth, b.pth\."):
        chosen("a.pth", "b.pth", name="hf://a/b/c.pth")
    with pytest.raises(ValueError, match=r"has no file with weights .*; it has model.onnx, tf_mod"):
        chosen("tf_model.h5", "model.onnx")
    with pytest.raises(ValueError, match="no files at all"):
        chosen()
    with pytest.raises(ValueError, match="and 8 more"):
        chosen(*(f"{n}.txt" for n in range(20)))
