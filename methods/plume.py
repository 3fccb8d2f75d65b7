"""PLUME: normal features against pseudo-anomalies from an adaptive linear map (Hermary et al., 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch.nn.functional import adaptive_avg_pool1d, cosine_similarity, leaky_relu, softplus

from bench import (
    FitError,
    HeadNorm,
    Heads,
    HeadTraining,
    Images,
    Method,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Scores,
    batch_slices,
    collapse_note,
    range_test_rates,
    same_shape,
    sent,
    shuffled,
    spread,
    suggested_rate,
    take_rows,
    uniform,
)

#: Widths of the classifier's hidden layer and of its embedding.
HIDDEN, EMBEDDING = 1024, 512
#: Peak rate where the range test suggests none.
FALLBACK_RATE = 1e-3


class PLUME(Method):
    """Score: the negated logit of a classifier of normal features against perturbed ones.

    A perturbator (a variational autoencoder with one hidden layer each way) maps a feature x to α and β, and
    A = I + αβᵀ makes the pseudo-anomaly x̃ = A x = x + α (β·x). Perturbator and classifier are trained jointly
    on L_CE + λ L_n + ν D_KL + γ L_c; only the classifier scores.

    Parameters
    ----------
    perturbation : {"linear", "addmult", "gaussian"}
        x + α (β·x); α + β ⊙ x as in PLAD, its ancestor; or x + `sigma` times white noise, with nothing to
        learn (the authors' sigma is unknown).
    perturbator : {"variational", "deterministic"}
        The second uses the mean of the latent variable instead of a sample, without D_KL, which the paper
        leaves open.
    objective : {"noise", "similarity"}
        What keeps pseudo-anomalies near: L_n, or mean (1 - cos(x, x̃))² with the same weight, which the paper
        also leaves open (the code computes it, with weight 0).
    noise_weight, kl_weight, contrastive_weight : float
        λ, ν, γ; γ = 0 disables the contrastive guidance.
    noise_target : {"code", "text"}
        L_n pulls α to 0 and β to 1 (code), or α to 1 and β to 0 as in the text, where x̃ ≈ x + (β·x) 1.
    noise_reduction : {"mean", "sum"}
        Over the dimensions; a mean in the code, a squared norm in the text.
    negatives : {"own", "all"}
        L_c compares column c with the pseudo-anomaly of c only (code), or with all of the batch (text).
    temperature : float
        τ of L_c.
    normalisation : {"apart", "together"}
        In training the classifier's BatchNorm gets normal features and pseudo-anomalies in separate batches
        (code), or in one batch, as in PLAD.
    epochs, batch, lr
        AdamW under a one-cycle schedule with this peak rate; ``none``: the suggestion of a range test of 100
        steps, which the record notes. A last batch of one image joins the batch before.
    width : int or none
        Pool (or repeat) the features to this many entries. The authors use 3072, which is part of the
        backbones ``plume-*``; ``none`` leaves others unchanged, at lower cost.
    selection : {"last", "oracle"}
        The last epoch, or, as published, the epoch with the best AUROC on the test set. The second keeps one
        classifier an epoch (15 MB each at width 3072).

    Notes
    -----
    The defaults are L_n and L_c of the released code, with which the published numbers were obtained. The
    code normalises pixels by the mean and deviation of the normal class, which a backbone shared by all tasks
    does not; its image mode lets the frozen backbone's BatchNorm follow the batch, its feature mode does not,
    nor do we. What the pseudo-anomalies teach the classifier: see ``docs/findings.md``.

    References
    ----------
    Hermary, Gaudillière, Shabayek, Aouada, "Removing Geometric Bias in One-Class Anomaly Detection with
    Adaptive Feature Perturbation", WACV 2025. Cai, Fan, "Perturbation Learning Based Anomaly Detection",
    NeurIPS 2022 (PLAD).
    """

    stochastic = True

    def __init__(
        self,
        backbone: str = "default",
        perturbation: Literal["linear", "addmult", "gaussian"] = "linear",
        perturbator: Literal["variational", "deterministic"] = "variational",
        objective: Literal["noise", "similarity"] = "noise",
        noise_weight: NonNegativeFloat = 5.0,
        kl_weight: NonNegativeFloat = 1.0,
        contrastive_weight: NonNegativeFloat = 1.0,
        noise_target: Literal["code", "text"] = "code",
        noise_reduction: Literal["mean", "sum"] = "mean",
        negatives: Literal["own", "all"] = "own",
        temperature: PositiveFloat = 0.5,
        normalisation: Literal["apart", "together"] = "apart",
        sigma: PositiveFloat = 1.0,
        epochs: PositiveInt = 100,
        batch: PositiveInt = 32,
        lr: PositiveFloat | None = None,
        width: PositiveInt | None = None,
        selection: Literal["last", "oracle"] = "last",
    ) -> None:
        self.backbone, self.perturbation, self.perturbator = backbone, perturbation, perturbator
        self.objective, self.negatives, self.temperature = objective, negatives, temperature
        self.noise_weight, self.kl_weight, self.contrastive_weight = (
            noise_weight,
            kl_weight,
            contrastive_weight,
        )
        self.noise_target, self.noise_reduction, self.sigma = noise_target, noise_reduction, sigma
        self.normalisation = normalisation
        self.epochs, self.batch, self.lr = epochs, batch, lr
        self.width, self.selection = width, selection

    def features(self, images: Images) -> torch.Tensor:
        """Return features (n, d), pooled to the width."""
        features = images.features(self.backbone)
        return features if self.width is None else adaptive_avg_pool1d(features[:, None], self.width)[:, 0]

    def fit(self, train: Images) -> None:
        self.fit_together([self], [train])

    @classmethod
    def fit_together(cls, methods: Sequence[PLUME], trains: Sequence[Images]) -> None:
        """Fit several, which differ only in their seeds and training images, in the same steps."""
        banks = [method.features(train) for method, train in zip(methods, trains, strict=True)]
        for group in same_shape(banks):
            if len(banks[group[0]]) < 2:
                raise FitError("PLUME needs at least 2 training images, for its batch normalisation")
            _Training([methods[i] for i in group], torch.stack([banks[i] for i in group])).run()

    def score(self, test: Images) -> Scores:
        features = self.features(test)
        scores = {name: -classifier(features) for name, classifier in self.classifiers.items()}
        last = scores[f"epoch {self.epochs}"]
        return Scores(last, candidates=scores if self.selection == "oracle" else None)


def cross_entropy(normal: torch.Tensor, pseudo: torch.Tensor) -> torch.Tensor:
    """Return L_CE of logits (h, b): the means over normal and over pseudo-anomalous features, added."""
    return softplus(-normal).mean(-1) + softplus(pseudo).mean(-1)


def noise_loss(alpha: torch.Tensor, beta: torch.Tensor, target: str, reduction: str) -> torch.Tensor:
    """Return L_n of α and β, (h, b, d): their distance from 0 and 1 (code) or 1 and 0 (text)."""
    squared = (
        alpha.square() + (beta - 1).square() if target == "code" else (alpha - 1).square() + beta.square()
    )
    return (squared.mean(-1) if reduction == "mean" else squared.sum(-1)).mean(-1)


def divergence(mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """Return D_KL of N(mean, exp(logvar)), (h, b, d), from N(0, I): summed over d, averaged over b."""
    return 0.5 * (logvar.exp() + mean.square() - 1 - logvar).sum(-1).mean(-1)


def dissimilarity(x: torch.Tensor, pseudo: torch.Tensor) -> torch.Tensor:
    """Return mean (1 - cos(x, x̃))² of (h, b, d)."""
    return (1 - cosine_similarity(x, pseudo, dim=-1)).square().mean(-1)


def contrastive(z: torch.Tensor, pseudo: torch.Tensor, temperature: float, negatives: str) -> torch.Tensor:
    """Return L_c of embeddings (h, b, e), b ≥ 2.

    With s = cos / τ: mean over c of log [Σᵢ exp s(zᵢ, z̃_c) + Σ_{i≠c} exp s(zᵢ, z_c)], less the mean of
    s(zᵢ, z_c) over i ≠ c. With ``all``, the first sum is Σₗ exp s(z_c, z̃ₗ).
    """
    z, pseudo = (torch.nn.functional.normalize(v, dim=-1, eps=1e-8) for v in (z, pseudo))
    across = z @ pseudo.mT / temperature
    if negatives == "all":
        across = across.mT
    among = z @ z.mT / temperature
    b = among.shape[-1]
    itself = torch.eye(b, dtype=torch.bool, device=among.device)
    columns = torch.cat([across, among.masked_fill(itself, -torch.inf)], -2).logsumexp(-2)
    return columns.mean(-1) - among.masked_fill(itself, 0).sum((-2, -1)) / (b * (b - 1))


class _Networks:
    """Perturbator g and classifier f₂∘f₁ of h heads of width d, with the classifier's normalisations."""

    def __init__(self, states: Sequence[dict[str, torch.Tensor]], d: int, device: torch.device) -> None:
        self.heads = Heads(states)
        self.norms = [
            HeadNorm(len(states), width, eps=eps, device=device)
            for width, eps in ((d, 1e-5), (HIDDEN, 1e-4), (EMBEDDING, 1e-4))
        ]

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ self.heads[name] + self.heads[f"{name}.bias"]

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """f₁ in training, by the statistics of this batch."""
        hidden = leaky_relu(self.norms[1].train(x @ self.heads["f1"]))
        return leaky_relu(self.norms[2].train(hidden @ self.heads["f2"]))

    def logits(self, z: torch.Tensor) -> torch.Tensor:
        return (z @ self.heads["f3"])[..., 0]

    def statistics(self) -> dict[str, torch.Tensor]:
        """Return the running statistics of all heads: the same memory."""
        return {f"{what}{i}": getattr(n, what) for i, n in enumerate(self.norms) for what in ("mean", "var")}

    def classifier(self, head: int) -> dict[str, torch.Tensor]:
        """Return the tensors of a `Classifier`, copied."""
        tensors = {name: self.heads[name].detach()[head].clone() for name in ("f1", "f2", "f3")}
        for i, norm in enumerate(self.norms):
            tensors[f"shift{i}"], tensors[f"scale{i}"] = norm.state(head)
        return tensors


def initial(d: int, perturbator: bool, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Return torch's initial values of linear layers, uniform up to 1/√inputs, as (inputs, outputs)."""
    state = {}
    for name, inputs, outputs in (("f1", d, HIDDEN), ("f2", HIDDEN, EMBEDDING), ("f3", EMBEDDING, 1)):
        state[name] = uniform((inputs, outputs), inputs**-0.5, generator)
    sizes = {"encode": d, "mean": d, "logvar": d, "decode": d, "out": 2 * d}
    for name, outputs in sizes.items() if perturbator else ():
        state[name] = uniform((d, outputs), d**-0.5, generator)
        state[f"{name}.bias"] = uniform((1, outputs), d**-0.5, generator)
    return state


class Classifier:
    """One head's classifier in evaluation, with its running statistics, those of a mixture.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Weights f1, f2 and f3; shift0 to shift2 and scale0 to scale2 of the normalisations before them.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """Return f₁, (n, e)."""
        t = {name: tensor.to(features.device) for name, tensor in self.tensors.items()}
        z = (features - t["shift0"]) * t["scale0"]
        for i in (1, 2):
            z = leaky_relu((z @ t[f"f{i}"] - t[f"shift{i}"]) * t[f"scale{i}"])
        return z

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits (n,); higher = more normal."""
        last = self.tensors["f3"].to(features.device)
        return torch.cat([self.embed(part) @ last for part in features.split(4096)])[:, 0]


class _Training:
    """Trains the heads of several methods that differ in seed and bank, (h, n, d)."""

    def __init__(self, methods: Sequence[PLUME], banks: torch.Tensor) -> None:
        self.methods, self.first, self.banks = methods, methods[0], banks
        self.n, self.d = banks.shape[1:]
        self.parts = batch_slices(self.n, self.first.batch, smallest=2)
        self.shuffle = [torch.Generator().manual_seed(m.seed) for m in methods]
        self.draw = [torch.Generator().manual_seed(m.seed) for m in methods]
        self.kept: list[dict[str, dict[str, torch.Tensor]]] = [{} for _ in methods]

    def run(self) -> None:
        """Train, and set the classifiers of the methods."""
        first, adaptive = self.first, self.first.perturbation != "gaussian"
        states = [
            {name: p.to(self.banks.device) for name, p in initial(self.d, adaptive, generator).items()}
            for generator in self.shuffle
        ]
        if first.perturbator == "deterministic" and adaptive:
            states = [{k: v for k, v in s.items() if not k.startswith("logvar")} for s in states]
        rates = self.rates(states)
        nets = _Networks(states, self.d, self.banks.device)
        optimiser = self._adamw(nets, rates)
        peaks = [group["lr"] for group in optimiser.param_groups]
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=peaks, total_steps=first.epochs * len(self.parts)
        )
        training = HeadTraining(
            methods=self.methods,
            heads=nets.heads,
            optimiser=optimiser,
            schedule=schedule,
            schedule_by="batch",
            n=self.n,
            batch=first.batch,
            smallest=2,
            epochs=first.epochs,
            shuffle=self.shuffle,
            draw=self.draw,
            state=nets.statistics(),
            kept=self.kept[0],
            device=self.banks.device,
        )
        before = [spread(Classifier(nets.classifier(h)).embed(bank)) for h, bank in enumerate(self.banks)]
        for rows in training:
            nets.heads.step(self.losses(nets, take_rows(self.banks, rows)), optimiser)
            epoch = training.epoch + 1
            if training.ends_epoch and (first.selection == "oracle" or epoch == first.epochs):
                for h, kept in enumerate(self.kept):
                    # One classifier an epoch would fill a GPU's memory.
                    kept[f"epoch {epoch}"] = {name: t.cpu() for name, t in nets.classifier(h).items()}
        for h, method in enumerate(self.methods):
            method.classifiers = {name: Classifier(tensors) for name, tensors in self.kept[h].items()}
            after = spread(method.classifiers[f"epoch {first.epochs}"].embed(self.banks[h]))
            method.notes += collapse_note(before[h], after, "the training images' embeddings")

    def rates(self, states: Sequence[dict[str, torch.Tensor]]) -> list[float]:
        """Return the peak rate of each head: the given one, or the suggestion of a range test on a copy."""
        for method in self.methods:
            method.notes, method.classifiers = (), {}
        if self.first.lr is not None:
            return [self.first.lr] * len(states)
        nets, rates, losses = _Networks(states, self.d, self.banks.device), range_test_rates(), []
        optimiser = self._adamw(nets)
        batches = (batch for _ in rates for batch in self._batches())
        for rate, batch in zip(rates, batches, strict=False):
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = self.losses(nets, batch)
            nets.heads.step(loss, optimiser)
            losses.append(loss.detach())
        found = [suggested_rate(rates, column) for column in torch.stack(losses, 1).double().tolist()]
        for method, rate in zip(self.methods, found, strict=True):
            where = "found by the range test" if rate else "taken, as the range test found none"
            method.notes = (f"learning rate {rate or FALLBACK_RATE:.3g} {where}",)
        return [rate or FALLBACK_RATE for rate in found]

    def _adamw(self, nets: _Networks, rates: Sequence[float] = ()) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            nets.heads.groups(rates), lr=1e-3, fused=self.banks.device.type in ("cpu", "cuda")
        )

    def _batches(self) -> Iterator[torch.Tensor]:
        """Yield one epoch's batches, (h, b, d)."""
        order = sent(self.banks.device, shuffled(self.n, self.shuffle))[0]
        for part in self.parts:
            yield take_rows(self.banks, order[:, part])

    def noise(self, like: torch.Tensor) -> torch.Tensor:
        """Return standard normal numbers of this shape, from each head's own generator on the host."""
        drawn = torch.stack([torch.randn(like.shape[1:], generator=g) for g in self.draw])
        return sent(like.device, drawn)[0]

    def losses(self, nets: _Networks, batch: torch.Tensor) -> torch.Tensor:
        """Return the objective of each head, (h,)."""
        m = self.first
        x = nets.norms[0].train(batch)
        pseudo, penalty = self.perturb(nets, x)
        if m.normalisation == "together":
            z, z_pseudo = nets.embed(torch.cat([x, pseudo], 1)).chunk(2, 1)
        else:
            z, z_pseudo = nets.embed(x), nets.embed(pseudo)
        loss = cross_entropy(nets.logits(z), nets.logits(z_pseudo)) + penalty
        if m.contrastive_weight:
            loss = loss + m.contrastive_weight * contrastive(z, z_pseudo, m.temperature, m.negatives)
        return loss

    def perturb(self, nets: _Networks, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pseudo-anomalies x̃ and λ L_n + ν D_KL."""
        m = self.first
        if m.perturbation == "gaussian":
            return x + m.sigma * self.noise(x), x.new_zeros(len(x))
        hidden = leaky_relu(nets.linear("encode", x))
        latent, penalty = nets.linear("mean", hidden), x.new_zeros(len(x))
        if m.perturbator == "variational":
            logvar = nets.linear("logvar", hidden)
            penalty = m.kl_weight * divergence(latent, logvar)
            latent = latent + (logvar / 2).exp() * self.noise(latent)
        alpha, beta = nets.linear("out", leaky_relu(nets.linear("decode", latent))).chunk(2, -1)
        pseudo = apply(m.perturbation, alpha, beta, x)
        if m.objective == "similarity":
            return pseudo, penalty + m.noise_weight * dissimilarity(x, pseudo)
        return pseudo, penalty + m.noise_weight * noise_loss(alpha, beta, m.noise_target, m.noise_reduction)


def apply(perturbation: str, alpha: torch.Tensor, beta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return (I + αβᵀ) x without the matrix, or α + β ⊙ x."""
    return x + alpha * (beta * x).sum(-1, keepdim=True) if perturbation == "linear" else alpha + beta * x
