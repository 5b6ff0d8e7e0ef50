"""Fixtures. The backend comes from KERAS_BACKEND; `make test` runs each."""

import atexit
import dataclasses
import gc
import os
import pathlib
import shutil
import tempfile
import zlib

# Many tests compile the same programs: with JAX, the second time they are read from here. Before
# Keras is imported, and by processes that tests start too.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="keras_pvt_jax_")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
# What a user has set in Keras, and what he has in our caches, decides nothing here.
if "KERAS_PVT_TESTS_HOME" not in os.environ:
    os.environ["KERAS_PVT_TESTS_HOME"] = tempfile.mkdtemp(prefix="keras_pvt_home_")
    os.environ["KERAS_HOME"] = os.environ["KERAS_PVT_TESTS_HOME"]
    atexit.register(shutil.rmtree, os.environ["KERAS_HOME"], ignore_errors=True)
# XLA compiles most programs here for far longer than it runs them: all of its passes and few of
# LLVM's take a quarter of the time. It can be told so only before it starts. Numbers that the
# documents claim are computed as users compute them, see `contracts.as_users`.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_use_fusion_emitters=false",
)
# Of several workers of pytest-xdist each has its own folder, as JAX reads what another has half
# written, and its own processors, as OpenMP's threads spin where there are more of them.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] += f"/{os.environ['PYTEST_XDIST_WORKER']}"
    processors = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processors)))

# isort: split
import keras
import numpy as np
import pytest
from fetching import checkpoint
from hubs import hub, no_waiting  # noqa: F401, fixtures
from weights_server import WeightsServer

from keras_pvt.download import transfer
from keras_pvt.variants import VARIANTS, WEIGHTS, PVTConfig, Weights

# Small, with all widths, depths and ratios unequal, so that a wrong axis or stage shows.
TINY = PVTConfig(
    depths=(1, 2, 2, 1),
    embed_dims=(8, 12, 20, 28),
    num_heads=(1, 2, 5, 4),
    mlp_ratios=(3, 2, 4, 2),
    sr_ratios=(4, 2, 2, 1),
    patch_sizes=(4, 2, 2, 2),
    image_size=64,
    classes=7,
)
# For what takes long for each layer, as tracing a graph does.
SHALLOW = dataclasses.replace(TINY, depths=(1, 1, 1, 1))
# The same of PVTv2, and with linear attention.
V2 = dataclasses.replace(
    SHALLOW, family="pvt_v2", patch_sizes=(7, 3, 5, 3), patch_strides=(4, 2, 2, 2)
)
LINEAR = dataclasses.replace(V2, linear=True)


TIERS = ("default", "full")


def pytest_addoption(parser):
    parser.addoption(
        "--tier",
        choices=TIERS,
        default="default",
        help="default: without tests marked `full`, and those marked `one_backend` on PyTorch "
        "only; full: every test, and those of `one_backend(..., full=True)` on every backend. "
        "A test named by `::` runs in either.",
    )


def pytest_collection_modifyitems(config, items):
    """Leave out what is of another tier; a mark without a reason is an error."""
    for item in items:
        for mark in (*item.iter_markers("full"), *item.iter_markers("one_backend")):
            if not (len(mark.args) == 1 and isinstance(mark.args[0], str) and mark.args[0].strip()):
                raise pytest.UsageError(
                    f"{item.nodeid}: say why, as in @pytest.mark.{mark.name}('trains two models')"
                )
    if any("::" in str(arg) for arg in config.args):
        return
    full = config.getoption("--tier") == "full"
    chosen = {left_out: [] for left_out in (False, True)}
    for item in items:
        chosen[_is_left_out(item, full)].append(item)
    if chosen[True]:
        config.hook.pytest_deselected(items=chosen[True])
        items[:] = chosen[False]


def _is_left_out(item, full: bool) -> bool:
    once = list(item.iter_markers("one_backend"))
    if keras.backend.backend() == "torch":
        once = []
    if full:
        return not all(mark.kwargs.get("full") for mark in once)
    return bool(once or item.get_closest_marker("full"))


@pytest.fixture
def tiny_config() -> PVTConfig:
    return TINY


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20210224)


@pytest.fixture(autouse=True, scope="session")
def _what_stays():
    """What is imported lives on: to look through it in each collection of garbage, as Keras asks
    for one for each layer that it quantizes, takes a second."""
    keras.utils.set_random_seed(0)  # imports TensorFlow where there is one
    gc.freeze()


@pytest.fixture(autouse=True)
def _fresh_keras():
    """The same seed for each test, and no policy left over from the one before."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def server():
    with WeightsServer(checkpoint(TINY)) as server:
        yield server


@pytest.fixture
def facts(server) -> Weights:
    return Weights("a test", f"{server.url}/v2/pvt_test.pth", None, "imagenet", top1=0.0)


@pytest.fixture
def cached(tmp_path, facts, monkeypatch) -> pathlib.Path:
    """Where the file of "pvt_test" will lie; no waiting between attempts."""
    monkeypatch.setitem(VARIANTS, "pvt_test", TINY)
    monkeypatch.setitem(WEIGHTS, ("pvt_test", "imagenet"), facts)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_PVT_WEIGHTS_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "BACKOFF", 0.001)
    monkeypatch.setattr(transfer, "TIMEOUT", (2.0, 0.4))
    monkeypatch.setattr(transfer, "CHUNK", 4096)
    return tmp_path / "home" / "models" / "keras_pvt" / "pvt_test.pth"


def perturb(model: keras.Model) -> None:
    """Give every weight values that its path alone decides: the same in every model.

    Initial values would not do: norms of 1 and 0 and biases of 0 hide swapped weights.
    """
    for variable in model.variables:
        if "seed_generator" in variable.path:
            continue
        noise = np.random.default_rng(zlib.crc32(variable.path.encode())).standard_normal(
            variable.shape
        )
        if variable.path.endswith("kernel"):
            noise /= np.sqrt(np.prod(variable.shape[:-1]))
        else:
            noise = 0.1 * noise + variable.path.endswith(("gamma", "moving_variance"))
        variable.assign(noise.astype("float32"))


def values(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of the weights, by the paths of their variables."""
    return {v.path: np.array(keras.ops.convert_to_numpy(v.value)) for v in model.variables}


def assert_same(left, right):
    assert left.keys() == right.keys()
    for key in left:
        assert left[key].dtype == right[key].dtype
        np.testing.assert_array_equal(left[key], right[key], err_msg=key)
