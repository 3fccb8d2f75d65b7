"""A method trained without the true anomalies: what every purification could reach at best."""

from bench import BaseMethod, Images, Wrapper


class OracleClean(Wrapper):
    """The base, fitted on the training images that are truly normal.

    The runner knows the truth and removes the anomalies before this method sees an image; therefore the row
    is tagged oracle and never ranks. On a clean training set it equals the base.

    Parameters
    ----------
    base : method
        Selector of a registered method.
    """

    selection = "oracle"
    only_clean = True

    def __init__(self, base: BaseMethod = "dn2") -> None:
        self.base = base

    def fit(self, train: Images) -> None:
        self.fit_final(train)
