"""``anobench page``: all results as one page for a browser."""

from __future__ import annotations

from bench.cli.options import DEFAULT_RESULTS, BenchFolders, ResultsFolder, registry


def page(results: ResultsFolder = DEFAULT_RESULTS, bench: BenchFolders = []) -> None:  # noqa: B006
    """Write index.html again from the CSVs in the results folder: one file, no server, no network.

    Records are not needed; where they are, they say the seconds. Methods of your own that nothing else tells
    about are looked up in the bench folders.
    """
    from bench.cli.console import out
    from bench.core.archive import Archive
    from bench.core.errors import ArchiveError
    from bench.report.page import writer
    from bench.report.write import write_text

    archive = Archive(results)
    path = results / writer.PAGE
    if not writer.suites_in(results):
        raise ArchiveError(
            f"{results} holds no CSV of anobench export; run a suite first: "
            f"anobench run quickstart --results {results}"
        )
    html = writer.page(archive, writer.abouts(archive), registry(bench))
    if html is None:
        raise ArchiveError(
            f"{path} was not written by anobench and is left alone; move it away, or use --results"
        )
    write_text(path, html)
    out.print(f"page: {path}", markup=False)
