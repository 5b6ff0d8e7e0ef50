"""Colours of classes in pictures."""

import functools
import re
from collections.abc import Sequence

import numpy as np
from PIL import ImageColor

# Lightness of a colour, 0 to 100: outside, it is taken for shadow, or hides what it covers; and
# chroma: below, it is a gray, as much of a photograph is.
_DARKEST, _LIGHTEST, _GRAYEST = 25, 92, 10
# Words of a class's name that say its colour, and what CSS calls that colour.
_WORDS = {"brown": "saddlebrown"}  # CSS's own is a red
_WORDS |= {
    word: word
    for word in (
        *("red", "green", "blue", "yellow", "orange", "purple", "violet", "pink", "cyan"),
        *("magenta", "turquoise", "black", "white", "gray", "grey"),
    )
}
_APART = 20  # of a named colour from those before it, in CIELAB
_GROUNDS = {"background", "bg", "unlabeled", "unlabelled", "void"}


def is_background(name: str) -> bool:
    """Whether a class is what is left of a picture, such as "background" or "_background_"."""
    return name.strip(" _").casefold() in _GROUNDS


def colours(classes: Sequence[str]) -> np.ndarray:
    """A colour for each class.

    A class whose name says a colour, as "red" or "green apple" do, gets that, or the nearest to it
    that is not taken. Each other is as far as can be from black, gray, white and all before it, in
    CIELAB: however many classes there are, the first ones are told apart best. Backgrounds, which
    are not filled, take no other's colour.

    Args:
        classes: names.
    Returns:
        uint8 `(N, 3)`, sRGB. Of more than some thousand classes the last share a colour.
    """
    return _colours(tuple(classes)).copy()


@functools.lru_cache(maxsize=8)
def _colours(classes: tuple[str, ...]) -> np.ndarray:
    levels = np.arange(0, 256, 17)
    every = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    places = lab(every)
    fit = (places[:, 0] >= _DARKEST) & (places[:, 0] <= _LIGHTEST)
    fit &= np.linalg.norm(places[:, 1:], axis=1) > _GRAYEST
    distances = np.full(len(every), np.inf)  # from the nearest that is taken
    chosen = np.zeros(len(classes), int)

    def take(place: np.ndarray) -> None:
        np.minimum(distances, np.linalg.norm(places - place, axis=1), out=distances)

    said = {number: word for number, name in enumerate(classes) if (word := _word(name))}
    for number, word in said.items():
        target = lab(np.array([ImageColor.getrgb(word)]))
        free = np.where(distances > _APART, np.linalg.norm(places - target, axis=1), np.inf)
        chosen[number] = free.argmin()
        take(places[chosen[number]])
    for place in lab(np.array([[0] * 3, [128] * 3, [255] * 3])):
        take(place)
    grounds = [number for number, name in enumerate(classes) if is_background(name)]
    others = [number for number in range(len(classes)) if number not in {*said, *grounds}]
    for number in others + grounds:
        chosen[number] = np.where(fit, distances, -1).argmax()
        take(places[chosen[number]])
    return every[chosen].astype("uint8")


def ink(colour: Sequence[int] | np.ndarray) -> str:
    """What is read best on a colour, sRGB `(3,)`: "black" or "white"."""
    return "black" if lab(np.asarray(colour)[None])[0, 0] > 60 else "white"


def lab(colours: np.ndarray) -> np.ndarray:
    """sRGB 0..255 `(N, 3)` as CIELAB (D65); distances are about as large as they seem.

    Source:
        IEC 61966-2-1 for sRGB; ISO/CIE 11664-4 for L*a*b*.
    """
    linear = colours / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    ratio = xyz / [0.9505, 1.0, 1.089]
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _word(name: str) -> str | None:
    """The colour that a name says first, as CSS calls it."""
    words = re.findall("[a-z]+", name.casefold())
    return next((_WORDS[word] for word in words if word in _WORDS), None)
