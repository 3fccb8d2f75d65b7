"""``anobench page``: all results as one page for a browser."""

from __future__ import annotations

from bench.cli.options import DEFAULT_RESULTS, Json, OutFile, ResultsFolder


def page(results: ResultsFolder = DEFAULT_RESULTS, out: OutFile = None, json: Json = False) -> None:
    """Write index.html again from the suites' JSON files in the results folder: one file, no network.

    Records, data and adapters are not needed.
    """
    from bench.cli import console
    from bench.core.errors import ArchiveError
    from bench.report.overview import overviews
    from bench.report.page.page import PAGE
    from bench.report.page.page import page as html_of
    from bench.report.write import write_text

    path, found = out or results / PAGE, overviews(results)
    if not found:
        raise ArchiveError(
            f"{results} holds no JSON file of anobench report; where there are records, write it with "
            f"anobench report SUITE --results {results}, else run a suite first"
        )
    html = html_of(results, found)
    if html is None:
        raise ArchiveError(
            f"{path} was not written by anobench and is left alone; move it away, or use --results"
        )
    write_text(path, html)
    if json:
        console.hand_json("page", {"file": path, "suites": len(found)})
        return
    console.out.print(f"page: {path}", markup=False)
