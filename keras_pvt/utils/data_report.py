"""What is wrong with a data set, counted."""

import collections


class DataReport:
    """What was wrong with a data set: how often each kind, and where it was seen first."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, where: str) -> None:
        """Count a problem.

        Args:
            kind: what is wrong and what was done about it, in words.
            where: file and annotation.
        """
        self.counts[kind] += 1
        self._first.setdefault(kind, where)

    def lines(self) -> list[str]:
        """A line for each kind, the most frequent first."""
        return [
            f"{count} x {kind}; the first is {self._first[kind]}"
            for kind, count in self.counts.most_common()
        ]
