"""A report of what was wrong with a data set."""

import collections
from collections.abc import Sequence


class DataReport:
    """What was wrong with a data set: how often each kind occurred, and where.

    Attributes:
        counts: of each kind.
        places: all of each kind, in the order in which they were found.
    """

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.places: dict[str, list[str]] = {}
        self._where: dict[str, str] = {}

    def add(self, kind: str, where: str) -> None:
        """Count one more problem.

        Args:
            kind: what is wrong and what was done about it, in words.
            where: the file, and the annotation in it.
        """
        self.counts[kind] += 1
        self.places.setdefault(kind, []).append(where)
        self._where.setdefault(kind, f"; the first is {where}")

    def add_names(self, kind: str, names: Sequence[str]) -> None:
        """Count a problem of things that all have to be named, such as classes.

        Args:
            kind: what is wrong with them, in words.
            names: of the things; nothing is added if there are none.
        """
        if names:
            self.counts[kind] += len(names)
            self.places.setdefault(kind, []).extend(names)
            self._where[kind] = f": {', '.join(names)}"

    def take(self, other: "DataReport") -> None:
        """Count what another report, of a part that is left out, has.

        Args:
            other: whose problems were added one by one.
        """
        for kind, places in other.places.items():
            for place in places:
                self.add(kind, place)

    def lines(self) -> list[str]:
        """A line for each kind, the most frequent first."""
        return [f"{count} x {kind}{self._where[kind]}" for kind, count in self.counts.most_common()]
