"""ECOD: how far out in the tails of the training features, column by column (Li et al., 2022)."""

from typing import Literal

import torch

from bench import Images, Method, Scores


class ECOD(Method):
    """Sum over the columns of -log tail probability under the empirical distribution.

    A column's left tail is the share of values ≤ x, its right tail the share of values ≥ x; the test image
    itself counts, but no other, so that no tail is empty: (1 + count) / (1 + n).

    Parameters
    ----------
    aggregate : {"column", "image"}
        ``column``, as in the authors' code (PyOD): the larger of both tails in each column, summed.
        ``image``, as in the paper (equations 4 to 7): the largest of the sums over the left tails, over the
        right tails, and over the tail to which each column's skewness points. The default is the code, with
        which the published numbers were obtained.

    Notes
    -----
    The code ranks test images among training *and* all test images; here each is ranked alone, so that no
    score depends on the other images. The effect of the skewness in the code: see ``docs/findings.md``.

    References
    ----------
    Li, Zhao, Hu, Botta, Ionescu, Chen, "ECOD", IEEE TKDE 2022.
    """

    def __init__(self, backbone: str = "default", aggregate: Literal["column", "image"] = "column") -> None:
        self.backbone, self.aggregate = backbone, aggregate

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        self.columns = features.T.contiguous().sort(1).values
        centred = features.double() - features.double().mean(0)
        # The third moment has the sign of the skewness, without a division by 0 for a constant column.
        self.right_skewed = (centred**3).mean(0) >= 0

    def score(self, test: Images) -> Scores:
        parts = [self._score(part) for part in test.features(self.backbone).split(1024)]
        return Scores(torch.cat(parts))

    def _score(self, features: torch.Tensor) -> torch.Tensor:
        n = self.columns.shape[1]
        queries = features.T.contiguous()
        below = torch.searchsorted(self.columns, queries, right=True)
        above = n - torch.searchsorted(self.columns, queries)
        left, right = (-torch.log((1.0 + count.double()) / (1 + n)) for count in (below, above))
        if self.aggregate == "column":
            return torch.maximum(left, right).sum(0)
        skewed = torch.where(self.right_skewed[:, None], right, left)
        return torch.stack([left.sum(0), right.sum(0), skewed.sum(0)]).amax(0)
