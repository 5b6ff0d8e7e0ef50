"""Drawing of boxes and masks on an image."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_pvt.detection.captions import places
from keras_pvt.utils.colours import ink

TINT = 110  # of 255, of a mask's colour


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    fills: np.ndarray,
    captions: Sequence[str],
    masks: Sequence[np.ndarray] = (),
) -> Image.Image:
    """An image with boxes, each beside its caption.

    Args:
        image: uint8 `(H, W, 3)`.
        boxes: `(N, 4)` xyxy in pixels; drawn from the last to the first.
        fills: `(N, 3)` uint8, the colour of each.
        captions: `(N,)`; left out are empty ones, and those that would hide objects, see
            `keras_pvt.detection.captions.places`.
        masks: N of bool `(H, W)`, what the objects cover, which is tinted; or none.
    """
    picture = Image.fromarray(image)
    paints = [tuple(fill) for fill in np.asarray(fills).tolist()]
    for own, fill in list(zip(masks, paints, strict=len(masks) > 0))[::-1]:
        picture.paste(fill, (0, 0), Image.fromarray(np.uint8(TINT * own)))
    line = max(1, round(max(picture.size) / 400))
    font = ImageFont.load_default(size=max(10, round(max(picture.size) / 60)))
    draw = ImageDraw.Draw(picture)
    for box, fill in list(zip(boxes, paints, strict=True))[::-1]:
        x1, y1, x2, y2 = (float(value) for value in box)
        # A box's far edge lies after its last pixel.
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=fill, width=line)
    extents = [draw.textbbox((0, 0), text, font)[2:] if text else None for text in captions]
    sizes = [
        None if extent is None else (round(extent[0]) + 3, round(extent[1]) + 3)
        for extent in extents
    ]
    for place, size, fill, text in zip(
        places(boxes, sizes, picture.size), sizes, paints, captions, strict=True
    ):
        if place is not None and size is not None:
            left, top = place
            draw.rectangle((left, top, left + size[0] - 1, top + size[1] - 1), fill=fill)
            draw.text((left + 1, top), text, fill=ink(fill), font=font)
    return picture
