"""Images that are in a data set more than once, by the content of their files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from bench.data.source import Source
from bench.data.task import NORMAL_TYPE


class Doubles:
    """What is there more than once in one train and one test split of image files.

    Files are compared by the sha256 that their fingerprint is made of: no file is read for it, and links,
    copies and other spellings of a path are seen alike. An image that is encoded anew is not seen:
    `bench.data.get.check` compares pixels.

    Parameters
    ----------
    train, test : Source
    types : sequence of str
        Of each test image.
    """

    def __init__(self, train: Source, test: Source, types: Sequence[str] = ()) -> None:
        self._train, self._test, self._types = train, test, types
        self._trained, self._tested = _rows(train), _rows(test)

    def wrong(self) -> list[str]:
        """Return what no honest number can come from: images in both splits, and those with two labels."""
        both = sorted((self._trained[d][0], self._tested[d][0]) for d in self._trained.keys() & self._tested)
        sentences = []
        if both:
            (a, b), n = both[0], len(both)
            also = f" (and {n - 1} more images are in both)" if n > 1 else ""
            sentences.append(
                f"{self._train.where(a)} (train) and {self._test.where(b)} (test) are the same image{also}"
            )
        for rows in self._tested.values():
            kinds = {self._types[row] for row in rows} if self._types else set()
            if NORMAL_TYPE in kinds and len(kinds) > 1:
                a, b = rows[0], next(row for row in rows if self._types[row] != self._types[rows[0]])
                sentences.append(
                    f"{self._test.where(a)} ({self._types[a]}) and {self._test.where(b)} ({self._types[b]}) "
                    "are the same image"
                )
        return sentences

    def copies(self) -> list[str]:
        """Return which images are there several times within a split: they count as often."""
        sentences = []
        for source, rows in ((self._train, self._trained), (self._test, self._tested)):
            more = sum(len(same) - 1 for same in rows.values())
            if more:
                a, b = min(same for same in rows.values() if len(same) > 1)[:2]
                sentences.append(
                    f"{source.name}: {more} of {len(source)} images are copies of others, such as "
                    f"{source.where(b)} of {source.where(a)}"
                )
        return sentences


def _rows(source: Source) -> dict[str, list[int]]:
    """Return the rows of each content; none where contents are not known."""
    found: dict[str, list[int]] = defaultdict(list)
    hashes: Iterable[str] = getattr(source, "hashes", ())
    for row, digest in enumerate(hashes):
        found[digest].append(row)
    return found
