"""The contaminations of a suite's sweep, for one task of one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.contamination import Contamination
from bench.core.errors import DataError, SuiteError, did_you_mean
from bench.data.contaminate import check_supply, shortfall
from bench.data.dataset import Dataset
from bench.data.fewshot import label_some
from bench.data.task import Task
from bench.suite.keys import ContaminationTable, FewShotTable

#: What a contamination given as text may say beside its rates.
_KEYS = ("preset", "of", "mode", "source", "draw", "shortage")
#: What labelled anomalies given as text may say beside their numbers.
_LABEL_KEYS = ("per", "from", "only", "seed")
#: A contamination as Python gives it: a rate, rates, or the keys of a suite's table.
GivenContamination = float | Sequence[float] | Mapping[str, Any]

#: Labelled anomalies as Python gives them: a number, numbers, or the keys of a suite's table.
GivenLabels = int | Sequence[int] | Mapping[str, Any]


def contamination_table(given: GivenContamination | Sequence[str]) -> dict[str, Any]:
    """Return what a command line or a program says of contamination, as the table of a suite.

    Parameters
    ----------
    given : float, sequence or mapping
        A rate; rates; the table itself; or texts such as ``"0,0.1,20%"``, ``"source=test,draw=one_class"``.

    Raises
    ------
    SuiteError
        A text is neither a rate nor one of the keys, a key is there twice, or there is no rate.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, int | float):
        return {"rates": [float(given)]}
    rates, table = _read(given, _KEYS, "--contamination")
    if not rates:
        raise SuiteError("--contamination has no rate; give some, e.g. --contamination 0,0.1,source=test")
    return {"rates": [_rate(each) for each in rates], **table}


def few_shot_table(given: GivenLabels | Sequence[str]) -> dict[str, Any]:
    """Return what a command line or a program says of labelled anomalies, as the table of a suite.

    Parameters
    ----------
    given : int, sequence or mapping
        A number; numbers; the table itself; or texts such as ``"0,5,10"``, ``"per=class,from=test"``,
        ``"only=cat|dog"``.

    Raises
    ------
    SuiteError
        A text is neither a number nor one of the keys, a key is there twice, or there is no number.
    """
    if isinstance(given, Mapping):
        return dict(given)
    given = [str(given)] if isinstance(given, int) else given
    numbers, table = _read(given, _LABEL_KEYS, "--few-shot")
    if not numbers:
        raise SuiteError("--few-shot has no number; give some, e.g. --few-shot 1,10,per=class")
    whole = [*numbers, table["seed"]] if "seed" in table else numbers
    if bad := [each for each in whole if not _whole(each)]:
        raise SuiteError(
            f"--few-shot {bad[0]!r}: expected whole numbers such as 0,5,10, or one of "
            f"{', '.join(_LABEL_KEYS)} with a value, e.g. from=test"
        )
    found: dict[str, Any] = {"anomalies": [int(each) for each in numbers], **table}
    found |= {"only": table["only"].split("|")} if "only" in table else {}
    return found | ({"seed": int(table["seed"])} if "seed" in table else {})


def _whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _read(given: Sequence[Any], keys: Sequence[str], option: str) -> tuple[list[str], dict[str, str]]:
    """Return the values without a key, and those with one, of texts separated by commas."""
    values: list[str] = []
    table: dict[str, str] = {}
    for each in (part for one in given for part in (one.split(",") if isinstance(one, str) else [one])):
        key, equals, value = str(each).partition("=")
        if not equals:
            values.append(str(each).strip())
        elif key.strip() not in keys or key.strip() in table:
            again = "is given twice" if key.strip() in table else f"is not known{did_you_mean(key, keys)}"
            raise SuiteError(f"{option} {each}: {key.strip()!r} {again}")
        else:
            table[key.strip()] = value.strip()
    return values, table


def _rate(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise SuiteError(
            f"--contamination {text!r}: expected rates such as 0,0.1,20% or one of {', '.join(_KEYS)} with a "
            "value, e.g. source=test"
        ) from None


def sweep(
    how: ContaminationTable, dataset: Dataset, name: str, task: str, seeds: Sequence[int]
) -> tuple[list[tuple[float, int, Contamination]], list[str]]:
    """Return (rate, seed, contamination) in the order of the rates, and notes on rates that are left out.

    Parameters
    ----------
    name : str
        The data set's canonical name.

    Raises
    ------
    SuiteError
        The data set does not have an official noisy split that the suite asks for.
    DataError
        The task has too few anomalies for a rate, and the suite does not say what to do then.
    """
    if how.source == "official":
        missing = [rate for rate in how.rates if rate and rate not in dataset.official_rates]
        if missing:
            has = ", ".join(f"{rate:g}" for rate in dataset.official_rates) or "none"
            raise SuiteError(
                f"contamination: {name} has no official noisy split with a rate of {missing[0]:g}; "
                f"it has: {has}"
            )
    opened = _opened(dataset, task) if any(how.rates) and how.source != "official" else None
    found: list[tuple[float, int, Contamination]] = []
    notes: dict[str, None] = {}
    for seed in seeds:
        rates = list(how.rates)
        if how.shortage == "skip" and opened is not None:
            for rate, note in _infeasible(how, dataset, name, opened, seed).items():
                rates.remove(rate)
                notes[note] = None
        of_seed = [(rate, seed, _contamination(how, dataset, rate, seed, max(rates))) for rate in rates]
        # The highest rate needs the most anomalies; only with one class do they depend on the seed.
        if opened is not None and (seed == seeds[0] or how.draw == "one_class"):
            check_supply(opened, name, max(of_seed, key=lambda item: item[0])[2])
        found += of_seed
    found.sort(key=lambda item: how.rates.index(item[0]))
    return found, list(notes)


def check_labelled(
    few_shot: FewShotTable, dataset: Dataset, name: str, task: str, seeds: Sequence[int]
) -> None:
    """Make sure that a task has as many labelled anomalies as a suite asks for.

    Raises
    ------
    DataError
        It has too few; says how many.
    """
    opened = _opened(dataset, task)
    if opened is not None:
        most = max(few_shot.anomalies)
        for row in few_shot.rows():
            if row.anomalies == most:
                cells = few_shot.of_cell(row, has_pool=dataset.has_anomaly_pool, seed=seeds[0])
                label_some(opened, name, cells)


def _opened(dataset: Dataset, task: str) -> Task | None:
    """Open a task without decoding images; None if that fails: its cells will fail and say why."""
    try:
        return dataset.own_task(task)
    except DataError:
        return None


def _infeasible(
    how: ContaminationTable, dataset: Dataset, name: str, task: Task, seed: int
) -> dict[float, str]:
    """Return the rates for which the task has too few anomalies, and why."""
    found = {}
    for rate in how.rates:
        missing = shortfall(task, name, _contamination(how, dataset, rate, seed, rate))
        if missing:
            found[rate] = f"{name}/{task.name} at {rate:.0%} is left out: {missing} anomalies too few"
    if len(found) == len(how.rates):
        raise DataError(
            f"{name}/{task.name}: too few anomalies for any rate; add 0.0 to the rates, or lower them"
        )
    return found


def _contamination(
    how: ContaminationTable, dataset: Dataset, rate: float, seed: int, highest: float
) -> Contamination:
    return Contamination(
        rate=rate,
        of=how.of,
        mode=how.mode,
        source=how.source if how.source != "default" else "holdout" if dataset.has_anomaly_pool else "test",
        draw=how.draw,
        shortage=how.shortage,
        seed=seed,
        reserve=highest,
    ).resolved()
