"""What wrappers put before the keys of a state dict: DataParallel, `torch.compile`, Lightning,
detectron2 and many a training script."""

from collections.abc import Iterable

# Also one after the other, as in "model.module.backbone.bottom_up.".
WORDS = (
    "_orig_mod.",
    "backbone.",
    "bottom_up.",
    "ema_model.",
    "encoder.",
    "model.",
    "model_ema.",
    "module.",
    "net.",
)
DEEPEST = 6


def candidates(keys: Iterable[str]) -> list[str]:
    """Prefixes of known words that some keys have, the shorter ones first.

    Args:
        keys: of a state dict.
    """
    found: dict[str, None] = {}
    for key in keys:
        prefix = ""
        for _ in range(DEEPEST):
            word = next((word for word in WORDS if key.startswith(word, len(prefix))), None)
            if word is None:
                break
            prefix += word
            found[prefix] = None
    return sorted(found, key=len)


def common(keys: Iterable[str]) -> str:
    """What every key begins with, up to a dot; empty where they have nothing in common.

    Args:
        keys: of a state dict.
    """
    names = list(keys)
    first, last = (min(names), max(names)) if names else ("", "")
    pairs = enumerate(zip(first, last, strict=False))
    same = next((n for n, (one, other) in pairs if one != other), len(first))
    return first[: first.rfind(".", 0, same) + 1]


def said_of(keys: Iterable[str]) -> str:
    """A line on a prefix that stays, for errors; empty where there is none.

    Args:
        keys: of a state dict.
    """
    prefix = common(keys)
    if not prefix:
        return ""
    known = prefix in candidates([prefix])
    why = (
        "and what follows does not fit" if known else "which is no wrapper's: take it off the keys"
    )
    return f"every key begins with {prefix[:80]!r}, {why}"
