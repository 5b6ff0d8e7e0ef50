"""What the tests of hubs share: a server that the client asks, and repositories for it."""

import importlib
import json

import pytest
from hub_server import HubServer
from safetensors.numpy import save

from keras_pvt.conversion import to_torch

NAME = "hf://someone/pvt"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of its own, with a cache of its own, for the client in this process."""
    constants = importlib.import_module("huggingface_hub.constants")
    from keras_pvt.download import hub as client

    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
        monkeypatch.setattr(client, "BACKOFF", 0.001)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(variable, raising=False)
        yield server


@pytest.fixture
def no_waiting(monkeypatch):
    """The client waits for seconds between attempts."""
    import huggingface_hub.file_download
    import huggingface_hub.utils._http as http

    class Time:
        sleep = staticmethod(lambda seconds: None)

    monkeypatch.setattr(huggingface_hub.file_download, "time", Time)
    monkeypatch.setattr(http, "time", Time)


def weights(model, layout: str = "official") -> bytes:
    """The weights of a model, as others write them: arrays alone, in a .safetensors file."""
    return save(dict(to_torch(model, layout)))


def transformers_config(config, **more) -> bytes:
    """Of `config.json`, what is read."""
    return json.dumps({"model_type": config.family, "architectures": ["Pvt"], **more}).encode()


def timm_config(config, **more) -> bytes:
    """The same of timm's."""
    pretrained = {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "crop_pct": 0.875,
        "interpolation": "bicubic",
    }
    table = {"architecture": "pvt_v2_b0", "num_classes": config.classes}
    return json.dumps(table | {"pretrained_cfg": pretrained} | more).encode()
