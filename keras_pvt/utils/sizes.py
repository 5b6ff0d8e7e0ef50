"""Sizes of images as people write them."""


def parse_size(text: str) -> tuple[int, int]:
    """Height and width in pixels, from "224" or "480x640".

    Raises:
        ValueError: anything else.
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise ValueError(f"must be pixels, such as 224 or 480x640; got {text!r}")
    return int(sides[0]), int(sides[-1])
