"""The result of an evaluation, and the files that it is written to."""

import csv
import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from keras_pvt.utils.drawing import WIDTH, sheet, write_png
from keras_pvt.utils.files import replacing, write_json

# Rows of a matrix that is drawn: of more classes those with the most errors.
DRAWN = 40
PICTURES = 12
NOTHING = "nothing"  # beside the classes of objects: what is no object, or was not found
SHOWN = 5  # names in a message


def plain(name: str) -> str:
    """A name of a class as it is compared."""
    return name.replace("_", " ").casefold()


def shown(names: Sequence[str]) -> str:
    """The first of names, for a message."""
    return ", ".join(names[:SHOWN]) + (" and so on" if len(names) > SHOWN else "")


def unknown_classes(unknown: Sequence[str], own: Sequence[str]) -> ValueError:
    """The error of a model without classes that the data has.

    Args:
        unknown: those classes; empty where the model has all, but some by their ids and some by
            their names.
        own: those of the model.
    """
    return ValueError(
        f"the model does not have the data's classes {shown(unknown) or 'by one kind of names'}; "
        f"it has {len(own)}: {shown(own)}."
    )


@dataclasses.dataclass(frozen=True)
class Worst:
    """An image on which a model does badly.

    Args:
        name: name of the image; its path if it is a file.
        value: how badly, in the measure of the task; the sheet has this order.
        note: what is wrong, in words.
    """

    name: str
    value: float
    note: str


@dataclasses.dataclass(frozen=True)
class Report:
    """The measured quality of a model on a set of images.

    Args:
        task: "classification", "detection" or "segmentation".
        model: as the user named it.
        data: as the user named it, with the split.
        numbers: values by name, 0 to 1 except for losses; NaN if there is nothing to count.
        labels: of rows and columns of the matrix.
        matrix: integers `(K, K)`, by true and then by predicted class: images, pixels or, with a
            row and column for `NOTHING`, objects.
        worst: images, the worst first.
        images: how many were measured.
        left_out: what could not be read, in words.
        curve: of a classifier, for each range of its confidence (images, mean confidence,
            accuracy).
    """

    task: str
    model: str
    data: str
    numbers: Mapping[str, float]
    labels: tuple[str, ...]
    matrix: np.ndarray
    worst: Sequence[Worst]
    images: int
    left_out: Sequence[str] = ()
    curve: Sequence[tuple[int, float, float]] = ()

    def as_json(self) -> dict[str, Any]:
        """Return everything except the matrix in a form for JSON, which has no NaN.

        Returns:
            The fields by their names; null stands for NaN.
        """
        content = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "matrix"
        }
        content["numbers"] = {
            name: None if math.isnan(value) else value for name, value in self.numbers.items()
        }
        content["worst"] = [dataclasses.asdict(one) for one in self.worst]
        return content

    def confused(self, most: int = 5) -> list[tuple[str, str, int]]:
        """The most frequent errors.

        Args:
            most: how many errors to return.
        Returns:
            (true class, predicted class, how many) of each, the most frequent first.
        """
        errors = self.matrix * ~np.eye(len(self.labels), dtype=bool)
        order = np.argsort(-errors, axis=None, kind="stable")[:most]
        pairs = zip(*np.unravel_index(order, errors.shape), strict=True)
        return [
            (self.labels[row], self.labels[column], int(errors[row, column]))
            for row, column in pairs
            if errors[row, column]
        ]

    def write(self, folder: pathlib.Path, draw: Callable[[str], Image.Image]) -> list[pathlib.Path]:
        """Write the report into a folder.

        Its files are report.json, confusion.csv, confusion.png, worst.png where there are any, and
        calibration.png of a classifier.

        Args:
            folder: is made; files of these names are replaced.
            draw: picture of an image by its name.
        Returns:
            The files.
        Raises:
            ImportError: matplotlib is not installed.
            OSError: a file cannot be written.
        """
        from keras_pvt.evaluation import drawing

        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / name for name in ("report.json", "confusion.csv", "confusion.png")]
        write_json(files[0], self.as_json())
        with (
            replacing(files[1]) as temporary,
            open(temporary, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(["true / predicted", *self.labels])
            rows = zip(self.labels, self.matrix.tolist(), strict=True)
            writer.writerows([label, *row] for label, row in rows)
        drawing.draw_matrix(*self._drawn(), files[2])
        if self.curve:
            files.append(folder / "calibration.png")
            drawing.draw_calibration(self.curve, files[-1])
        if self.worst:
            files.append(folder / "worst.png")
            pictures = [draw(one.name) for one in self.worst[:PICTURES]]
            columns = min(4 if pictures[0].width == WIDTH else 2, len(pictures))
            write_png(sheet(pictures, columns, pictures[0].width), files[-1])
        return files

    def _drawn(self) -> tuple[Sequence[str], np.ndarray]:
        """Labels and the part of the matrix that is drawn."""
        if len(self.labels) <= DRAWN:
            return self.labels, self.matrix
        errors = self.matrix.sum(axis=0) + self.matrix.sum(axis=1) - 2 * self.matrix.diagonal()
        keep = np.sort(np.argsort(-errors, kind="stable")[:DRAWN])
        return [self.labels[n] for n in keep], self.matrix[np.ix_(keep, keep)]
