"""Random scores: the control that every detector must beat, and a check that the harness leaks nothing."""

import numpy as np

from bench import Images, Method, Scores


class Random(Method):
    """Uniform scores from the cell's seed."""

    setting = "control"
    stochastic = True

    def fit(self, train: Images) -> None:
        pass

    def score(self, test: Images) -> Scores:
        return Scores(np.random.default_rng(self.seed).random(len(test)))
