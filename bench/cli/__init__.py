"""The command line: one command, one module; nothing here computes.

May import everything. Start at `run`, which hands a suite to `bench.run.launch`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bench.cli import (
    audit,
    cache,
    check,
    data,
    diff,
    doctor,
    export,
    figure,
    fit,
    listing,
    merge,
    new,
    pack,
    page,
    published,
    report,
    run,
    status,
    submission,
    submit,
    table,
    trial,
    verify,
)
from bench.cli.options import App, Verbose

app = App(
    name="anobench",
    help="Benchmark image anomaly detectors: every method on every data set, and which differences are real.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("list")(listing.list_)
app.command("report")(report.report)
app.command("submit-mvtec-ad2")(submission.submit_mvtec_ad2)
app.command("try")(trial.try_)
app.command("fit")(fit.fit)
app.command("score")(fit.score)
app.command("status")(status.status)
app.command("export")(export.export)
app.command("table")(table.table)
app.command("figure")(figure.figure)
app.command("page")(page.page)
app.command("check")(check.check)
app.command("diff")(diff.diff)
app.command("audit")(audit.audit)
app.command("pack")(pack.pack)
app.command("submit")(submit.submit)
app.command("verify")(verify.verify)
app.command("merge")(merge.merge)
app.command("published")(published.published)
app.command("doctor")(doctor.doctor)
app.add_typer(cache.app, name="cache")
app.add_typer(data.app, name="data")
app.add_typer(new.app, name="new")


def _version(asked: bool) -> None:
    if asked:
        from bench import __version__

        typer.echo(f"anobench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Verbose = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    from bench.cli.console import log_to_stderr

    del version
    log_to_stderr(verbose=verbose)


def main() -> None:
    """Run the command line; user mistakes are one message and exit status 2, never a traceback."""
    from bench.cli.streams import complain, usable
    from bench.core.errors import AnobenchError
    from bench.core.files import working_directory

    try:
        with usable():
            working_directory()
            app(prog_name="anobench")
    except AnobenchError as error:
        complain(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
