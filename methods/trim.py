"""One pass of self-trimming: train, leave out what scores highest, train again; a control."""

import numpy as np

from bench import BaseMethod, FitError, Images, Purification, Share, Wrapper, training_scores


class Trim(Wrapper):
    """The base, fitted on the share of the training images that the base, fitted on all, scores lowest.

    The baseline of LLBNAD and iterative weighting: the same filter without subsets or rounds. The default
    keeps half, as in least trimmed squares, which a contamination of up to 50 % cannot fill.

    Parameters
    ----------
    base : method
        Selector of a registered method.
    keep : float
        Share of the training images kept, above 0 and at most 1; ``int(keep * n)`` images. Should be below
        1 minus the contamination, which is unknown in practice.

    Notes
    -----
    Methods that remember their training images, such as `dn2`, filter poorly: see ``docs/findings.md``.
    """

    def __init__(self, base: BaseMethod = "dn2", keep: Share = 0.5) -> None:
        self.base, self.keep = base, keep

    def fit(self, train: Images) -> None:
        count = int(self.keep * len(train))
        if count < 1:
            raise FitError(f"trim: keep={self.keep} of {len(train)} training images is none; keep more")
        first = self.new_base("first")
        first.fit(train)
        scores = training_scores(first, train)
        kept = np.zeros(len(train), np.bool_)
        kept[np.argsort(scores, kind="stable")[:count]] = True
        self.purification = Purification(kept, scores)
        self.fit_final(train[kept])
