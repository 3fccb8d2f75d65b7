"""Contamination: a change of a task by which a given share of its train images are really anomalies.

"10 % contamination" has five meanings in published code; here it is one frozen object.
`bench.data.contaminate` draws the anomalies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

AnomalySource = Literal["holdout", "test", "test_overlap", "jittered", "official", "transductive"]
Draw = Literal["uniform", "per_type", "one_class"]
Shortage = Literal["error", "cap", "repeat", "redraw", "move", "skip"]
#: Shortages at which some anomalies are drawn more than once.
AGAIN: tuple[Shortage, ...] = ("repeat", "redraw", "move")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """How a task's train images are contaminated.

    Attributes
    ----------
    rate : float
        From 0 to 0.5.
    of : {"set", "normals"}
        The rate is the share of the resulting train set, or relative to the clean set's size.
    mode : {"add", "replace"}
        Add anomalies to the normals, or replace normals so that the number of train images stays.
    source : {"holdout", "test", "test_overlap", "jittered", "official", "transductive"}
        Where anomalies come from: labelled anomalies of the train split; the test set, from which they are
        then removed ("no overlap"); the test set, where they stay; jittered copies of test anomalies, whose
        originals stay in the test set (see `bench.data.contaminate`); the data set's own noisy train split;
        or all labelled anomalies of both splits, where the images trained on are those tested on, and all
        normal images of both splits are among them.
    draw : {"uniform", "per_type", "one_class"}
        From the entire pool; in turn from each defect type or class; or from one of them, chosen by the seed
        (clustered contamination).
    shortage : {"error", "cap", "repeat", "redraw", "move", "skip"}
        What to do when the pool is too small: fail; take what there is and record the realised rate; take
        each anomaly equally often, or one time more; draw all of them with replacement (then the draw is not
        nested in that of a rate for which there are enough); take the further ones as rotated and shifted
        copies; or leave such cells out of the plan.
    seed : int
        Of the draw.
    reserve : float
        The highest rate of the sweep. With ``source="test"`` the anomalies for that rate leave the test set
        at every rate, so that the test set is the same along the curve.
    """

    rate: float = 0.0
    of: Literal["set", "normals"] = "set"
    mode: Literal["add", "replace"] = "add"
    source: AnomalySource = "holdout"
    draw: Draw = "uniform"
    shortage: Shortage = "error"
    seed: int = 0
    reserve: float = 0.0

    def __post_init__(self) -> None:
        for what, value in (("rate", self.rate), ("reserve", self.reserve)):
            if not 0 <= value <= 0.5:
                raise ValueError(f"contamination {what} {value} lies outside 0 to 0.5")

    def resolved(self) -> Contamination:
        """Return the one form of all contaminations that mean the same, so that they share a cell's key."""
        reserve = max(self.rate, self.reserve) if self.source == "test" else 0.0
        if not self.rate and not reserve:
            # Without anomalies, too, the transductive setting has a train and a test set of its own.
            return Contamination(source=self.source) if self.source == "transductive" else Contamination()
        if self.source == "official":
            # The data set has drawn; nothing here depends on a seed.
            return Contamination(rate=self.rate, source="official")
        return replace(self, reserve=reserve)

    def count(self, n: int, rate: float | None = None) -> int:
        """Return how many anomalies `n` clean train images get, rounded down, in exact arithmetic.

        With ``mode="add"`` and ``of="set"`` that is ``r n / (1 - r)``, in every other case ``r n``.
        """
        exact = Fraction(str(self.rate if rate is None else rate))
        if self.of == "set" and self.mode == "add":
            exact = exact / (1 - exact)
        return int(exact * n)


#: What papers mean by their contamination rates. HSCL rounds per class, here the total is rounded and dealt
#: to the classes in turn. MeDS' lists round to the nearest image, here down, and differ in some categories
#: (see ``docs/contamination.md``). ADL's code draws with replacement where anomalies are too few
#: (``shortage = "redraw"``); its preset repeats each as often, so that draws stay nested.
PRESETS: dict[str, dict[str, str]] = {
    "adl": {"of": "set", "mode": "add", "source": "jittered", "shortage": "repeat"},
    "llbnad": {"source": "official"},
    "softpatch": {"of": "normals", "mode": "add", "source": "test"},
    "softpatch-overlap": {"of": "normals", "mode": "add", "source": "test_overlap"},
    "softpatch-plus": {"of": "normals", "mode": "add", "source": "test_overlap", "shortage": "move"},
    "meds": {"of": "normals", "mode": "add", "source": "test_overlap", "shortage": "cap"},
    "transductive": {"of": "normals", "mode": "add", "source": "transductive", "shortage": "cap"},
    "deepsad": {"of": "set", "mode": "add", "source": "holdout"},
    "hscl": {"of": "set", "mode": "add", "source": "holdout", "draw": "per_type"},
}
#: Presets that cannot be given, and why.
UNKNOWN_PRESETS: dict[str, str] = {
    "iterative": (
        "of the paper (Kim et al., arXiv 2309.09436) only the abstract is known here, and it does not say "
        "what rates are relative to or where anomalies come from; give of, mode and source yourself"
    ),
}
