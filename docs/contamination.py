"""Write the comparisons of contamination.md: the same methods under three kinds of contamination.

From the tidy CSVs of the suites ``contamination``, ``contamination-clustered`` and ``contamination-overlap``
alone, on the tasks, rates and draws that two of them share; their test sets are the same.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

HERE = Path(__file__).parent
#: Kept beside the contamination of the first suite.
OTHERS = {"contamination-clustered": "clustered", "contamination-overlap": "overlapping"}
#: What places a result.
PLACE = ["dataset", "task", "method", "params", "contamination", "seed"]
RATES = (0.02, 0.05, 0.1, 0.2, 0.4)
#: Data sets whose anomalies run out above a rate, in one suite more than in another: left out there.
ENOUGH_UP_TO = {"wbc": 0.1}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=HERE.parent / "results")
    parser.add_argument("--to", type=Path, default=HERE / "contamination.md", help="the page to fill")
    asked = parser.parse_args(arguments)
    first = auroc(asked.results / "contamination.csv")
    page = asked.to.read_text()
    for name, kind in OTHERS.items():
        text = compared(auroc(asked.results / f"{name}.csv"), first, kind)
        mark = re.escape(f"<!-- {kind} -->")
        page = re.sub(
            rf"({mark}\n).*?(<!-- end -->)", lambda at, t=text: f"{at[1]}{t}\n{at[2]}", page, flags=re.S
        )
    asked.to.write_text(page)
    return 0


def auroc(path: Path) -> pd.Series:
    """Return the AUROCs of a tidy CSV in points, by place; oracles are left out."""
    table = pd.read_csv(path, dtype={"params": str, "contamination": float})
    of = table[(table.metric == "auroc") & (table.status == "ok") & (table.method != "oracle_clean")]
    # A clean cell of a method without chance has no draw.
    return of.fillna({"params": "", "seed": -1}).set_index(PLACE).value.astype(float) * 100


def differences(one: pd.Series, other: pd.Series) -> pd.DataFrame:
    """Return AUROC of the one less that of the other: rows are methods and draws, columns rates.

    Means over the tasks of a data set, then over data sets.
    """
    both = pd.concat({"one": one, "other": other}, axis=1, join="inner")
    apart = (both.one - both.other).rename("apart").reset_index()
    apart = apart[apart.contamination <= apart.dataset.map(ENOUGH_UP_TO).fillna(1)]
    apart["row"] = [row_name(*each) for each in zip(apart.method, apart.params, strict=True)]
    of_data = apart.groupby(["row", "seed", "contamination", "dataset"]).apart.mean()
    return of_data.groupby(["row", "seed", "contamination"]).mean().unstack()


def row_name(method: str, params: str) -> str:
    """Return a row's name: the method and the one that it wraps, without parameters."""
    base = re.search(r"\bbase=(\w+)", params)
    return f"{method}[base={base[1]}]" if base else method


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over draws and Student's 95 % interval."""
    middle, n = float(values.mean()), len(values)
    reach = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else np.inf
    return middle, middle - reach, middle + reach


def compared(one: pd.Series, other: pd.Series, kind: str) -> str:
    """Return a sentence for each rate over all methods, then a table of the methods."""
    found = differences(one, other)
    rates = [rate for rate in RATES if rate in found.columns]
    data = sorted(set(one.index.get_level_values("dataset")) & set(other.index.get_level_values("dataset")))
    lines, sure = [], {rate: [0, 0] for rate in rates}
    for row, of in found.groupby(level="row"):
        cells = []
        for rate in rates:
            middle, low, high = interval(of[rate].dropna().to_numpy())
            sure[rate][0] += high < 0
            sure[rate][1] += low > 0
            cells.append(f"{signed(middle)} ({signed(low)} to {signed(high)})")
        lines.append("| " + " | ".join([f"`{row}`", *cells]) + " |")
    said = []
    for rate in rates:
        middle, low, high = interval(found[rate].groupby(level="seed").mean().dropna().to_numpy())
        below, above = sure[rate]
        said.append(
            f"- At {percent(rate)}: {signed(middle)} points ({signed(low)} to {signed(high)}), the mean of "
            f"{len(lines)} methods; {below} of them surely below 0, {above} surely above."
        )
    head = "| Method | " + " | ".join(map(percent, rates)) + " |"
    up_to = [f" ({name} up to {percent(ENOUGH_UP_TO[name])})" for name in data if name in ENOUGH_UP_TO]
    title = (
        f"**{kind.capitalize()} minus uniform and disjoint**, AUROC in points on "
        f"{', '.join(data)}{''.join(up_to)}:"
    )
    table = "\n".join([head, "| :--- |" + " ---: |" * len(rates), *lines])
    return "\n".join(
        [title, "", *said, "", "<details>", "<summary>Each method</summary>", "", table, "", "</details>"]
    )


def percent(rate: float) -> str:
    return f"{100 * rate:g} %"


def signed(value: float) -> str:
    """Return points with one decimal and a sign; 0 has none."""
    return "0.0" if round(value, 1) == 0 else f"{value:+.1f}".replace("-", "−")


if __name__ == "__main__":
    sys.exit(main())
