"""Gaussian mixture on the leading principal components of frozen features."""

from typing import Literal

import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from bench import FitError, Images, Method, PositiveFloat, PositiveInt, Scores, standardise


class GMM(Method):
    """Negative log-likelihood under a Gaussian mixture, fitted by expectation-maximisation.

    Parameters
    ----------
    components : int
        Number of Gaussians, clamped to the number of training images.
    covariance : {"diag", "full"}
    dimensions : int
        Principal components kept, at most as many as images and dimensions; 64 keep a full covariance
        estimable from a few hundred images.
    ridge : float
        Added to the variances, as a share of the mean variance of the kept components.
    normalise : {"standard", "none", "l2"}
        Normalisation of the features, fitted on the training images.
    """

    computes_on = "cpu"
    stochastic = True

    def __init__(
        self,
        backbone: str = "default",
        components: PositiveInt = 5,
        covariance: Literal["diag", "full"] = "diag",
        dimensions: PositiveInt = 64,
        ridge: PositiveFloat = 1e-3,
        normalise: Literal["none", "standard", "l2"] = "standard",
    ) -> None:
        self.backbone, self.components, self.covariance = backbone, components, covariance
        self.dimensions, self.ridge, self.normalise = dimensions, ridge, normalise

    def fit(self, train: Images) -> None:
        features = train.features(self.backbone)
        if len(features) < 2:
            raise FitError("gmm needs at least 2 training images, for a variance")
        self.prepare = standardise(features, self.normalise)
        prepared = self.prepare(features).double().cpu().numpy()
        self.pca = PCA(min(self.dimensions, *prepared.shape), svd_solver="full").fit(prepared)
        reduced = self.pca.transform(prepared)
        scale = float(reduced.var(0).mean())
        self.model = GaussianMixture(
            min(self.components, len(reduced)),
            covariance_type=self.covariance,
            reg_covar=self.ridge * scale if scale > 0 else 1.0,
            random_state=self.seed,
            max_iter=300,
        ).fit(reduced)

    def score(self, test: Images) -> Scores:
        prepared = self.prepare(test.features(self.backbone)).double().cpu().numpy()
        return Scores(-np.asarray(self.model.score_samples(self.pca.transform(prepared))))
