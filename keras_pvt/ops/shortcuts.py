"""What the ways around Keras's layer calls share, on JAX arrays and torch tensors alike."""


def is_plain(layer) -> bool:
    """Whether Keras computes nothing for a layer but its own `call`.

    It does where it quantizes, adds LoRA, rematerialises, or `call` was replaced.
    """
    return (
        layer.quantization_mode is None
        and not getattr(layer, "lora_enabled", False)
        and layer._remat_mode is None
        and "call" not in vars(layer)
    )


def patches(x, side: int):
    """Map `(B, H, W, C)` of static sides to `(B, H // side, W // side, side * side * C)`."""
    _, height, width, channels = x.shape
    rows, columns = height // side, width // side
    x = x[:, : rows * side, : columns * side]
    x = x.reshape(-1, rows, side, columns, side, channels).swapaxes(2, 3)
    return x.reshape(-1, rows, columns, side * side * channels)
