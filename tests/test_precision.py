"""Which half precision a device gets: by what it computes in, not by how its maker numbers it."""

from types import SimpleNamespace

import pytest

from keras_pvt.training import precision

pytestmark = pytest.mark.one_backend("asks each backend's devices")

# What JAX says of NVIDIA's Volta and Turing, of later ones, and of AMD's.
CAPABILITIES = {
    "7.0": "float16",
    "7.5": "float16",
    "8.0": "bfloat16",
    "9.0": "bfloat16",
    "12.0": "bfloat16",
    "gfx90a": "bfloat16",
    "gfx942": "bfloat16",
    "gfx1100": "bfloat16",
}


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_gpus_on_jax(monkeypatch, capability):
    device = SimpleNamespace(platform="gpu", compute_capability=capability)
    monkeypatch.setattr("jax.local_devices", lambda: [device])
    monkeypatch.setattr(precision, "BACKEND", "jax")
    assert precision.resolve("auto") == f"mixed_{CAPABILITIES[capability]}"


@pytest.mark.parametrize(
    ("platform", "policy"),
    [("cpu", "float32"), ("tpu", "mixed_bfloat16"), ("gpu", "mixed_bfloat16")],
)
def test_other_devices_on_jax(monkeypatch, platform, policy):
    monkeypatch.setattr("jax.local_devices", lambda: [SimpleNamespace(platform=platform)])
    monkeypatch.setattr(precision, "BACKEND", "jax")
    assert precision.resolve("auto") == policy


@pytest.mark.parametrize(
    ("details", "policy"),
    [
        ({"compute_capability": (7, 5)}, "mixed_float16"),
        ({"compute_capability": (8, 0)}, "mixed_bfloat16"),
        ({"device_name": "AMD Instinct MI300X"}, "mixed_bfloat16"),
        (None, "float32"),
    ],
)
def test_gpus_on_tensorflow(monkeypatch, details, policy):
    config = pytest.importorskip("tensorflow").config
    monkeypatch.setattr(config, "list_logical_devices", lambda kind: [])
    monkeypatch.setattr(
        config, "list_physical_devices", lambda kind: [] if details is None else [0]
    )
    monkeypatch.setattr(config.experimental, "get_device_details", lambda gpu: details)
    monkeypatch.setattr(precision, "BACKEND", "tensorflow")
    assert precision.resolve("auto") == policy


@pytest.mark.parametrize(
    ("cuda", "hip", "major", "policy"),
    [
        ("12.8", None, 7, "mixed_float16"),
        ("12.8", None, 8, "mixed_bfloat16"),
        (None, "6.4", 7, "mixed_bfloat16"),  # AMD's own numbers
        (None, "6.4", 9, "mixed_bfloat16"),
        (None, None, 0, "float32"),
    ],
)
def test_gpus_on_torch(monkeypatch, cuda, hip, major, policy):
    torch = pytest.importorskip("torch")
    device = SimpleNamespace(major=major, minor=5)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda or hip))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device_: device)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (major, 5))
    monkeypatch.setattr(precision, "BACKEND", "torch")
    assert precision.resolve("auto") == policy


@pytest.mark.parametrize("name", ["none", "bfloat16", "float16"])
def test_what_was_asked_for(name):
    assert precision.resolve(name) == {"none": "float32"}.get(name, f"mixed_{name}")
