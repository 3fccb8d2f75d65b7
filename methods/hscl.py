"""HSCL: contrastive learning from scratch that keeps labelled anomalies apart (Wang et al., 2022)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import nn
from torch.nn import functional as F

from bench import (
    FitError,
    Images,
    Method,
    NonNegativeFloat,
    NonNegativeInt,
    PixelRows,
    PositiveFloat,
    PositiveInt,
    Scores,
    Training,
    UnitInterval,
    as_input,
    derive_seed,
    epoch_rows,
    filled_parts,
    generator_for,
    nt_xent,
    random_views,
    sent,
)

#: Epochs of the schedules; of them so many, in 250, are a warm-up, in which the rate rises to ten times `lr`.
EPOCHS, WARM_UP, RISE = {"paper": 250, "short": 25}, 10, 10.0
#: Where the rate of a cosine ends.
LAST_RATE = 1e-6
#: Quarter turns, which a head tells.
TURNS = 4
#: Least area of a crop in training, and that of all crops in scoring, as shares of the image's.
LEAST, FIXED = 0.08, 0.54
#: Width of the embedding.
EMBEDDING = 128
#: Samples in a convex mix; the scale of the two similarities; the confidence at which a sample may be mixed.
MIXED, SCALE, CONFIDENT = 2, 2.0, 0.4
#: Smallest image whose last maps have a pixel.
SMALLEST = 8
#: Images a pass in scoring; the last pass is filled up.
READ_BATCH = 16

Terms = tuple[torch.Tensor, torch.Tensor]


class HSCL(Method):
    """Minus the similarity to learned prototypes and the logit of the right turn, over augmented views.

    A network learns from scratch on all images: two views of one image, at each of four quarter turns, are
    told from all others (contrastive loss, temperature 0.5), and a head tells the turn. Where a mini-batch
    holds labelled images of both kinds, two more terms count: prototypes are drawn to normal and unlabelled
    embeddings, by confidence, and away from labelled anomalies; and convex mixes of confident embeddings are
    to be more alike than they are to mixes of labelled anomalies.

    Parameters
    ----------
    size : int
        Side in pixels to which images are resized; 8 or more.
    prototypes : int
    normals : float
        Share of the training images that count as labelled normal ones.
    samples : int
        Augmented views of each turn in scoring.
    width : int
        Channels of the first of four stages of the ResNet-18.
    schedule : {"paper", "short"}
        250 epochs, or a tenth.
    epochs : int, optional
        Another number of epochs.
    batch : int
        Images in a mini-batch, of each of which there are eight views.
    compile : bool
        Train with ``torch.compile``, which rounds otherwise and needs a C++ compiler on a CPU.
    lr, weight_decay
        Adam; the rate rises to ten times `lr` in the first 10 of 250 epochs and falls on a cosine.

    Notes
    -----
    From the authors' code; of its paper no numbers are at hand. Labelled anomalies are those of
    ``[few_shot]`` in the suite, trained on with the others, as many times; the code's are 5 %. Labelled
    normal images the harness does not have: they are drawn from the training images, of which with
    contamination some are no normal ones, and the record says so. Colours are changed after the crop (before
    it in the code), which is narrowed rather than drawn again where it would not fit and repeats the border
    (the code mirrors it). In scoring all images are changed by the same draws, so that no score depends on
    the others; the code draws for each image of a mini-batch.

    References
    ----------
    Wang, Zhan, Wang, Song, Nahrstedt, "Hierarchical Semi-Supervised Contrastive Learning for
    Contamination-Resistant Anomaly Detection", ECCV 2022, arXiv:2207.11789; ``GaoangW/HSCL``. Score, views:
    Tack, Mo, Jeong, Shin, "CSI: Novelty Detection via Contrastive Learning on Distributionally Shifted
    Instances", NeurIPS 2020.
    """

    stochastic = True
    few_shot = True

    def __init__(
        self,
        size: PositiveInt = 32,
        prototypes: PositiveInt = 1,
        normals: UnitInterval = 0.05,
        samples: PositiveInt = 10,
        width: PositiveInt = 64,
        schedule: Literal["paper", "short"] = "paper",
        epochs: NonNegativeInt | None = None,
        batch: PositiveInt = 256,
        lr: PositiveFloat = 1e-3,
        weight_decay: NonNegativeFloat = 1e-6,
        compile: bool = False,
    ) -> None:
        self.size, self.prototypes, self.normals, self.samples = size, prototypes, normals, samples
        self.width, self.batch, self.lr, self.weight_decay = width, batch, lr, weight_decay
        self.epochs, self.compile = EPOCHS[schedule] if epochs is None else epochs, compile

    def fit(self, train: Images) -> None:
        if self.size < SMALLEST:
            raise FitError(f"hscl: images of size={self.size} px; the network needs {SMALLEST} px or more")
        done, paper = self.epochs, EPOCHS["paper"]
        self.notes = (f"{done} epochs, {paper} in the paper's schedule",) if done != paper else ()
        every = train if self.labelled is None else train + self.labelled
        pixels, kinds = PixelRows(every, (self.size, self.size)), self.kinds(len(train), len(every))
        self.net = self.new_network()
        self.run = torch.compile(self.net) if self.compile else self.net
        optimiser = torch.optim.Adam(self.net.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        a_pass = -(-len(pixels) // self.batch)
        self.net.train()
        Training(
            method=self,
            optimiser=optimiser,
            state=self.net.state_dict(),
            steps=self.epochs * a_pass,
            rate=lambda step: self.lr * rise_and_fall(step / a_pass, self.epochs, self.lr),
        ).run(lambda step: self.loss(step, pixels, kinds))
        self.net.eval()
        self.weigh(PixelRows(train, (self.size, self.size)))

    def kinds(self, n: int, every: int) -> torch.Tensor:
        """Return what is known of each image, (every,), on the host: 0 nothing, 1 normal, -1 anomalous."""
        kinds = torch.zeros(every)
        order = torch.randperm(n, generator=generator_for(self.seed, "normals"))
        chosen = order[: max(1, round(self.normals * n)) if self.normals else 0]
        kinds[chosen] = 1.0
        kinds[n:] = -1.0
        self.notes += (
            f"{len(chosen)} of the {n} training images count as labelled normal ones: with contamination not "
            "all of them are",
        )
        if every == n or not len(chosen):
            self.notes += ("labels of one kind alone: contrastive learning without the hierarchical terms",)
        return kinds

    def new_network(self) -> Embedder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "weights"))
            return Embedder(self.width, self.prototypes).to(self.device)

    def loss(self, step: int, pixels: PixelRows, kinds: torch.Tensor) -> torch.Tensor:
        """Return the loss of a step: contrastive, of the turns, and the hierarchical terms."""
        rows = epoch_rows(len(pixels), self.batch, step, self.seed)
        drawn = generator_for(self.seed, "views", step)
        views = random_views(self.turned_pairs(pixels[rows], drawn), drawn, **how(LEAST, 1.0))
        embedded, turns = self.run(as_input(views))
        directions = F.normalize(embedded, dim=1)
        told = torch.arange(TURNS, device=self.device).repeat_interleave(len(rows)).repeat(2)
        value = nt_xent(directions, 0.5) + F.cross_entropy(turns, told)
        known = kinds[torch.from_numpy(rows)].repeat(2 * TURNS)
        terms = hierarchical(directions, known, self.net.prototypes, generator_for(self.seed, "mix", step))
        return value if terms is None else value + terms[0] + terms[1]

    def turned_pairs(self, images: torch.Tensor, drawn: torch.Generator) -> torch.Tensor:
        """Return two copies of images (b, 3, s, s), some flipped, each at four turns: (8 b, 3, s, s)."""
        (flip,) = sent(images.device, torch.rand(2 * len(images), 1, 1, 1, generator=drawn) < 0.5)
        twice = images.repeat(2, 1, 1, 1)
        return torch.cat([quarters(each) for each in torch.where(flip, twice.flip(3), twice).chunk(2)])

    def weigh(self, pixels: PixelRows) -> None:
        """Set the weights of the score's parts: over the training images either part is 1 in the mean."""
        _, turns, lengths = self.read(pixels)
        self.by_length, self.by_turn = 1 / lengths.mean(0), 1 / turns.mean(0)

    def read(self, pixels: PixelRows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return of each image at each turn the similarity, the logit of the turn, and the length, (n, 4)."""
        parts = []
        with torch.no_grad():
            for rows, n in filled_parts(len(pixels), READ_BATCH):
                parts.append([each[:n] for each in self._read(pixels[rows])])
        similar, turns, lengths = (torch.cat(each) for each in zip(*parts, strict=True))
        return similar, turns, lengths

    def _read(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        embedded = torch.zeros(TURNS * len(images), EMBEDDING, device=self.device)
        turns = torch.zeros(TURNS * len(images), TURNS, device=self.device)
        for sample in range(self.samples):
            drawn = generator_for(self.seed, "sample", sample)
            flipped = images.flip(3) if float(torch.rand((), generator=drawn)) < 0.5 else images
            views = random_views(quarters(flipped), drawn, **how(FIXED, FIXED), alike=True)
            for total, found in zip((embedded, turns), self.net(as_input(views)), strict=True):
                total += found / self.samples
        similar = (embedded @ self.net.prototypes).amax(1)
        right = turns.view(TURNS, -1, TURNS).diagonal(dim1=0, dim2=2)
        return similar.view(TURNS, -1).T, right, embedded.norm(dim=1).view(TURNS, -1).T

    def score(self, test: Images) -> Scores:
        similar, turns, _ = self.read(PixelRows(test, (self.size, self.size)))
        return Scores(-(similar * self.by_length + turns * self.by_turn).mean(1))


class Embedder(nn.Module):
    """A ResNet-18 for small images, with an embedding, a head for the turns, and prototypes (d, p).

    Its first convolution is 3 x 3 without stride, and no pool follows it.
    """

    def __init__(self, width: int, prototypes: int) -> None:
        super().__init__()
        channels = (width, 2 * width, 4 * width, 8 * width)
        self.body = ResNet(BasicBlock, (2, 2, 2, 2), 0, channels=channels)
        self.body.conv1, self.body.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
        for module in self.body.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                module.reset_parameters()
        deep = channels[-1]
        self.embed = nn.Sequential(nn.Linear(deep, deep), nn.ReLU(), nn.Linear(deep, EMBEDDING))
        self.turn = nn.Linear(deep, TURNS)
        self.prototypes = nn.Parameter(nn.init.xavier_uniform_(torch.empty(EMBEDDING, prototypes)))

    def forward(self, inputs: torch.Tensor) -> Terms:
        """Return embeddings (b, d) and logits of the turns (b, 4) of images (b, 3, s, s) in [-1, 1]."""
        features = self.body(inputs)
        return self.embed(features), self.turn(features)


def how(least: float, most: float) -> dict[str, object]:
    """Return what the views are like: crops between these areas, no flip after the turn, no blur."""
    return {"area": (least, most), "flips": False, "blurs": False}


def quarters(images: torch.Tensor) -> torch.Tensor:
    """Return images (b, c, s, s) at four quarter turns: (4 b, c, s, s)."""
    return torch.cat([torch.rot90(images, turns, (2, 3)) for turns in range(TURNS)])


def rise_and_fall(epoch: float, epochs: int, lr: float) -> float:
    """Return what the rate `lr` is multiplied by, so many epochs after the beginning."""
    warm_up = WARM_UP * epochs / EPOCHS["paper"]
    if epoch <= warm_up:
        return 1 + (RISE - 1) * epoch / warm_up if warm_up else 1.0
    last = LAST_RATE / lr
    return last + (RISE - last) * (1 + math.cos(math.pi * (epoch - warm_up) / epochs)) / 2


def hierarchical(
    directions: torch.Tensor, known: torch.Tensor, prototypes: torch.Tensor, drawn: torch.Generator
) -> Terms | None:
    """Return the term of samples and prototypes and that of normal and anomalous mixes.

    None where there are not labelled images of both kinds.

    Parameters
    ----------
    directions : Tensor, shape (n, d)
        Embeddings of length 1.
    known : Tensor, shape (n,), on the host
        0 nothing, 1 normal, -1 anomalous.
    prototypes : Tensor, shape (d, p)
    drawn : torch.Generator
        On the host.
    """
    if not (known > 0).any() or not (known < 0).any():
        return None
    rest, anomalous, labelled, *draws = sent(
        directions.device,
        *(torch.nonzero(which)[:, 0] for which in (known >= 0, known < 0)),
        known[known >= 0] > 0,
        *(torch.rand(2, len(directions), MIXED, generator=drawn) for _ in range(3)),
    )
    normal, bad = directions[rest], directions[anomalous]
    units = F.normalize(prototypes, dim=0)
    nearest = (normal.detach() @ units).amax(1)
    confidence = torch.where(labelled, 1.0, (nearest.detach() + 1) / 2)
    first = (confidence * (nearest - 1)).square().mean() + (bad.detach() @ units + 1).square().mean()
    weights = torch.where(confidence > CONFIDENT, confidence, 0.0)
    anchor, positive = (mixed(normal, weights, each) for each in draws[:2])
    negative = mixed(bad, torch.ones_like(bad[:, 0]), draws[2])
    apart = (anchor * negative).sum(1) - (anchor * positive).sum(1)
    return first, F.softplus(SCALE * apart).mean()


def mixed(rows: torch.Tensor, weights: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Return n convex mixes of two of the rows (m, d), drawn in proportion to weights (m,), of length 1.

    Which, and how much of each, is in `drawn`, (2, n, 2), in [0, 1).
    """
    places, shares = drawn
    ends = weights.detach().cumsum(0)
    chosen = torch.searchsorted(ends, places * ends[-1], right=True).clamp(max=len(rows) - 1)
    shares = shares / shares.sum(1, keepdim=True)
    return F.normalize((rows[chosen] * shares[..., None]).sum(1), dim=1)
