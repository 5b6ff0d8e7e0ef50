"""The names of the ways to spread a training run over devices. Standard library only."""

# Name to the backend that has it; how is said in training/distribution/on_<backend>.py.
BACKENDS = {
    "data-parallel": "jax",
    "fsdp": "jax",
    "mirrored": "tensorflow",
    "tpu": "tensorflow",
    "ddp": "torch",
}
NAMES = ("auto", "none", *BACKENDS)
