"""SRR's refinement: an ensemble of classifiers must agree that an image is normal (Yoon et al., 2022)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from bench import (
    BaseMethod,
    FitError,
    Images,
    PositiveFloat,
    PositiveInt,
    Purification,
    UnitInterval,
    Wrapper,
    derive_seed,
    estimated_rate,
    training_scores,
)

#: No more than this share is put above a classifier's threshold.
MOST = 0.9


class SRR(Wrapper):
    """The base, fitted on the images that all of several bases of disjoint subsets take for normal.

    The images kept so far (at first all) are dealt to `parts` parts, and a base is fitted on each. A base
    takes an image for normal if its score is not among the ``gamma`` highest of all training images, with
    gamma = `factor` × the contamination rate; kept are those that every base takes for normal. This is
    repeated, with all training images to choose from, until less than 1 % of the choice changes.

    Parameters
    ----------
    base : method
        Selector of a registered method.
    parts : int
        K; 5 as we recall of the paper. Fewer where there are too few images.
    rate : float or "auto"
        The suspected contamination rate; by default estimated from held-out scores of the training images.
    factor : float
        Gamma over the rate: the paper has a gamma of about one to two times the rate, as we recall.
    rounds : int
        At most.

    Notes
    -----
    The paper learns its representation anew from what was kept; here features are frozen, and only the
    classifiers are. Were the classifiers independent, (1 - gamma)^K of the images would be kept; a remark of
    the run says both shares. At a rate of 0 all is kept.

    References
    ----------
    Yoon, Sohn, Li, Arik, Lee, Pfister, "Self-supervise, Refine, Repeat: Improving Unsupervised Anomaly
    Detection", TMLR 2022, arXiv 2106.06115. Of it only the abstract was at hand; K, gamma and the stopping
    rule are recalled or ours.
    """

    stochastic = True

    def __init__(
        self,
        base: BaseMethod = "dn2",
        parts: PositiveInt = 5,
        rate: UnitInterval | Literal["auto"] = "auto",
        factor: PositiveFloat = 1.5,
        rounds: PositiveInt = 3,
    ) -> None:
        self.base, self.parts, self.rate, self.factor, self.rounds = base, parts, rate, factor, rounds

    def fit(self, train: Images) -> None:
        n = len(train)
        if n < 2:
            raise FitError("srr needs at least 2 training images: one for each of two classifiers")
        rate = estimated_rate(self.held_out_scores(train, 2)) if self.rate == "auto" else float(self.rate)
        gamma = min(MOST, self.factor * rate)
        kept, highest = np.ones(n, np.bool_), np.zeros(n)
        for round_ in range(self.rounds if gamma > 0 else 0):
            highest = self._ranks(train, np.flatnonzero(kept), round_).max(0)
            chosen = unanimous(highest, gamma)
            changed, kept = float((chosen != kept).mean()), chosen
            if changed < 0.01:
                break
        self.purification = Purification(kept, highest, rate if self.rate == "auto" else None)
        self.fit_final(train[kept])
        expected = (1 - gamma) ** self.parts
        self.notes += (f"srr: kept {kept.mean():.1%}; independent classifiers would keep {expected:.1%}",)

    def _ranks(self, train: Images, rows: NDArray[np.int64], round_: int) -> NDArray[np.float64]:
        """Return how many score lower by each classifier, as a share of all, shape (classifiers, n)."""
        seed = derive_seed(self.seed, "parts", round_, bits=31)
        order = rows[np.random.default_rng(seed).permutation(len(rows))]
        found = []
        for number, part in enumerate(np.array_split(order, min(self.parts, max(1, len(rows) // 2)))):
            base = self.new_base("part", round_, number)
            base.fit(train[np.sort(part)])
            found.append((rankdata(training_scores(base, train), method="max") - 0.5) / len(train))
        return np.stack(found)


def unanimous(highest: NDArray[np.float64], gamma: float) -> NDArray[np.bool_]:
    """Return which images no classifier has among its gamma highest; if none is left, those of least rank."""
    kept = highest <= 1 - gamma
    return kept if kept.any() else highest == highest.min()
