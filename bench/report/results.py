"""The results of a suite in Python: ``bench.run(...)`` and ``bench.load(...)`` return them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.archive import Archive
from bench.core.cell import Cell, Record
from bench.core.errors import AnobenchError, ArchiveError, PublishedError
from bench.core.files import working_directory
from bench.core.pack import PackedArchive, is_pack
from bench.core.plan import Plan
from bench.core.submitted import marked
from bench.report.verify import verified
from bench.suite.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.published.row import Published
    from bench.report.write import Outcome


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A leaderboard: all of it as Markdown, and its main tables as HTML for a notebook."""

    markdown: str
    html: str

    def __str__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown

    def _repr_html_(self) -> str:
        return self.html


class Results:
    """What a suite gave: its plan, and the records that are there.

    Parameters
    ----------
    plan : Plan
    archive : Archive
    records : mapping of str to Record, optional
        By key; read from the archive by default.
    registry : Registry, optional
        Of the bench folders, for published numbers and the names of images; by default the stock ones.
    """

    def __init__(
        self,
        plan: Plan,
        archive: Archive,
        records: Mapping[str, Record] | None = None,
        registry: Registry | None = None,
    ) -> None:
        self.archive, self.registry = archive, registry or Registry()
        keys = {entry.cell.key for entry in plan.entries}
        self.records = verified(archive, archive.load_all(keys) if records is None else records)
        self.plan = marked(plan, archive, self.records)
        #: What a user should know of files that could not be used.
        self.problems: list[str] = []

    def __repr__(self) -> str:
        return f"<Results of {self.plan.suite}: {len(self.records)} of {len(self.cells)} cells>"

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The suite's cells, in the order of running."""
        return tuple({entry.cell.key: entry.cell for entry in self.plan.entries}.values())

    def frame(self) -> pd.DataFrame:
        """Return the tidy CSV as a data frame: a row for each cell and metric.

        Returns
        -------
        DataFrame
            With the columns of ``<suite>.csv``; text is empty and ``value`` NaN where the CSV is empty, and
            ``seed`` is a nullable integer.
        """
        import pandas as pd

        from bench.report.csv import csv_text
        from bench.report.export import HEADER, export_rows

        kinds = dict.fromkeys(HEADER, "str")
        kinds |= {"contamination": "float64", "value": "float64", "seed": "Int64"}
        text = [name for name, kind in kinds.items() if kind == "str"]
        written = io.StringIO(csv_text(HEADER, export_rows(self.plan, self.records)))
        # A task may be called "NA": only numbers can be missing.
        missing = {name: [""] for name in kinds if name not in text}
        frame: pd.DataFrame = pd.read_csv(written, dtype=kinds, keep_default_na=False, na_values=missing)
        return frame

    def scores(self, cell: Cell | Record | str) -> pd.DataFrame:
        """Return a cell's score of each test image.

        Parameters
        ----------
        cell : Cell, Record or str
            One of `cells`; or its key, or its text (``str(cell)``).

        Returns
        -------
        DataFrame
            ``image``, its name (its file, where the data is on this machine); ``label``, 1 = anomalous;
            ``score``, higher = more anomalous. In the order of the task's test images.

        Raises
        ------
        ArchiveError
            There is no such cell, it failed or was not run, or its scores cannot be read.
        """
        import pandas as pd

        record = self._record(cell)
        scores, truth = self.archive.scores(record), self.archive.truth(record)
        names = self._image_names(record.cell)
        images = [
            names.get((truth.sources[which], row)) or f"{truth.sources[which][:12]}/{row}"
            for which, row in zip(truth.which.tolist(), truth.rows.tolist(), strict=True)
        ]
        return pd.DataFrame({"image": images, "label": truth.labels, "score": scores})

    def _record(self, cell: Cell | Record | str) -> Record:
        if isinstance(cell, Record):
            return cell
        if isinstance(cell, Cell):
            key = cell.key
        else:
            key = next((each.key for each in self.cells if cell in (each.key, str(each))), "")
        if not key:
            raise ArchiveError(f"{self.plan.suite} has no cell {cell!r}; its cells are in .cells")
        if key not in self.records:
            raise ArchiveError(f"{cell} has no record; run it first: anobench run {self.plan.suite}")
        return self.records[key]

    def _image_names(self, cell: Cell) -> dict[tuple[str, int], str]:
        """Return the names of a task's images by source and row; empty where its data is not at hand."""
        try:
            task = self.registry.open_dataset(cell.dataset).task(cell.task)
            return {
                (source.fingerprint, row): source.where(row)
                for source in task.sources
                for row in range(len(source))
            }
        except AnobenchError:
            return {}

    def failures(self) -> pd.DataFrame:
        """Return the failed cells: ``cell``, ``method``, ``dataset``, ``task``, ``kind``, ``reason``."""
        import pandas as pd

        columns = ("cell", "method", "dataset", "task", "kind", "reason")
        found = [self.records[cell.key] for cell in self.cells if cell.key in self.records]
        rows = [
            (str(r.cell), r.cell.method, r.cell.dataset, r.cell.task, r.error["kind"], r.error["reason"])
            for r in found
            if r.error is not None
        ]
        return pd.DataFrame(rows, columns=list(columns))

    def leaderboard(self) -> Leaderboard:
        """Return the leaderboard, which shows itself in a notebook; ``str()`` of it is Markdown."""
        from bench.report.board import Board
        from bench.report.evidence.evidence import Evidence
        from bench.report.html import table_html
        from bench.report.leaderboard.leaderboard import leaderboard
        from bench.report.paper.paper import paper_table

        board = Board(self.plan, self.records)
        evidence = Evidence(board, self.archive)
        text = leaderboard(self.plan, self.records, published=self._published(), evidence=evidence)
        tables = []
        if any(record.metrics for record in self.records.values()):
            tables = [table_html(paper_table(evidence, rates=[rate])) for rate in board.rates]
        return Leaderboard(text, "\n".join(tables) or f"<p>{escape(repr(self))}</p>")

    def write(self, *, rope: float = 0.005) -> Outcome:
        """Write the leaderboard, the CSV, the figures and the pages of all suites.

        Parameters
        ----------
        rope : float
            Region of practical equivalence: a smaller difference is none; share of 1.

        Raises
        ------
        ArchiveError
            The results folder cannot be written.
        """
        from bench.report.write import write_reports

        outcome = write_reports(self.plan, self.archive, self.records, published=self._published(), rope=rope)
        problems = (*self.plan.problems, *self.problems, *self.archive.unreadable)
        return replace(outcome, problems=tuple(dict.fromkeys(problems)))

    def _published(self) -> tuple[Published, ...]:
        """Return the published numbers of the bench folders; a file that cannot be used is left out."""
        from bench.report.published.read import load_published

        try:
            return load_published(self.registry.folders)
        except PublishedError as error:
            self.problems = [f"the leaderboard is without published numbers: {error}"]
            return ()


def load(results: str | Path, suite: str | Path, *, folders: Iterable[str | Path] = ()) -> Results:
    """Return the results of a suite's last run from a results folder or a pack: ``bench.load``.

    Parameters
    ----------
    results : str or Path
    suite : str or Path
        Its name, as in the leaderboard's file; or the suite's file, for what lies beside it.
    folders : iterable of str or Path
        Bench folders of your own; the working directory is searched too.

    Raises
    ------
    ArchiveError
        The suite was never run into this folder, or its plan cannot be read.

    Examples
    --------
    >>> ran = bench.run(datasets="digits[task=3]", methods="random", name="try", results=folder, show=False)
    >>> bench.load(folder, "try").frame().equals(ran.frame())
    True
    """
    path = Path(results)
    archive = PackedArchive(path) if is_pack(path) else Archive(path)
    registry = Registry([Path(folder) for folder in folders], working_directory())
    registry.add_named(str(suite))
    name = Path(suite).stem if str(suite).endswith(".toml") else str(suite)
    return Results(archive.plan(name), archive, registry=registry)
