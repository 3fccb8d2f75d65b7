"""Dinomaly: a transformer's middle tokens, reconstructed loosely by linear attention (Guo et al., 2025)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bench import (
    FitError,
    Images,
    Method,
    NonNegativeInt,
    PixelRows,
    PositiveFloat,
    PositiveInt,
    Scores,
    Share,
    StableAdamW,
    Training,
    UnitInterval,
    anomaly_maps,
    derive_seed,
    endless_rows,
    mean_of_highest,
)

#: Side of the maps that are compared and scored, in pixels, and of the Gaussian's kernel (its radius).
SIDE, RADIUS = 256, 2
#: Images encoded at a time when scoring.
READ_BATCH = 16


class Dinomaly(Method):
    """Where a decoder, trained on normal images, does not give back a frozen transformer's middle tokens.

    The tokens of eight blocks are averaged and pass a bottleneck with dropout; eight blocks of linear
    attention decode them. Encoder and decoder are compared in two groups of four blocks each. Points that are
    reconstructed well already are almost left out of the gradient.

    Parameters
    ----------
    backbone : str
        Any timm vision transformer with ``blocks``, with registers or without: in the paper DINOv2 with
        registers (``vit_base_patch14_reg4_dinov2.lvd142m``, ``resize=[448,448],crop=392``,
        ``args={img_size=392}``).
    blocks : str
        Blocks of the encoder, counted from 0: an even number of them, as ``2,3,4,5,6,7,8,9`` (the paper's for
        ViT-B and S; for ViT-L ``4,6,8,10,12,14,16,18``).
    depth : int
        Blocks of the decoder; even.
    steps : int
        5000 for one category, 10,000 for all in one model (50,000 for Real-IAD).
    batch : int
    dropout : float
        Of the bottleneck: 0.2; 0.4 for Real-IAD.
    lr, last_lr, warm_up
        StableAdamW: from 0 to `lr` in `warm_up` steps, then along a cosine to `last_lr`.
    easy, easy_from : float, int
        Share of the points whose gradient is multiplied by 0.1, reached after `easy_from` steps.
    clip : float
        Largest norm of the gradient.
    highest : float
        An image's score is the mean of this share of its map.

    Notes
    -----
    The map is smoothed by a Gaussian of standard deviation 4 cut off after 2 pixels, nearly a box, with zeros
    beyond the border, as in the code (anomalib reflects, and returns the map unsmoothed). 1e-6 is added to
    the denominator of the attention, as its author advised against NaN. Mini-batches are always full; the
    code drops the last one of an epoch, and so cannot train on fewer images than a mini-batch.

    References
    ----------
    Guo, Lu, Zhang, Wang, Chen, Liao, Liu, "Dinomaly: The Less Is More Philosophy in Multi-Class Unsupervised
    Anomaly Detection", CVPR 2025, section 3. The optimiser's details are from the code.
    """

    stochastic = True
    needs = "network"

    def __init__(
        self,
        backbone: str = "default",
        blocks: str = "2,3,4,5,6,7,8,9",
        depth: PositiveInt = 8,
        steps: NonNegativeInt = 5000,
        batch: PositiveInt = 16,
        dropout: UnitInterval = 0.2,
        lr: PositiveFloat = 2e-3,
        last_lr: PositiveFloat = 2e-4,
        warm_up: NonNegativeInt = 100,
        easy: UnitInterval = 0.9,
        easy_from: PositiveInt = 1000,
        clip: PositiveFloat = 0.1,
        highest: Share = 0.01,
    ) -> None:
        self.blocks = [int(each) if each.strip().isdigit() else -1 for each in blocks.split(",")]
        if min(self.blocks) < 0 or len(self.blocks) % 2 or depth % 2:
            raise FitError(
                f"dinomaly: blocks={blocks!r}, depth={depth}: expected an even number of blocks of the "
                "encoder, as 2,3,4,5,6,7,8,9, and an even depth of the decoder"
            )
        self.backbone, self.depth, self.steps, self.batch, self.dropout = (
            backbone,
            depth,
            steps,
            batch,
            dropout,
        )
        self.lr, self.last_lr, self.warm_up, self.clip = lr, last_lr, warm_up, clip
        self.easy, self.easy_from, self.highest = easy, easy_from, highest

    def fit(self, train: Images) -> None:
        if not len(train):
            raise FitError("dinomaly: there are no training images; expected at least one")
        self.notes = ()
        self.net = train.network(self.backbone)
        self.encoder = Encoder(self.net.module, self.blocks, self.backbone)
        pixels = PixelRows(train, self.net.preprocess.shrink)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "decoder"))
            self.decoder = Decoder(self.encoder.width, self.encoder.heads, self.depth, self.dropout)
        self.decoder.to(self.device).train()

        def loss(step: int) -> torch.Tensor:
            rows = endless_rows(len(train), self.batch, step, self.seed, "epoch")
            tokens, grid = self.encoder(self.net.preprocess.normalise(pixels[rows]))
            share = min(self.easy * step / self.easy_from, self.easy)
            return loose_loss(
                self.encoder.maps(tokens, grid), self.encoder.maps(self.decoder(tokens), grid), share
            )

        optimiser = StableAdamW(self.decoder.parameters(), lr=self.lr, weight_decay=1e-4)
        Training(
            method=self,
            optimiser=optimiser,
            state=self.decoder.state_dict(),
            steps=self.steps,
            clip=self.clip,
            rate=self.rate,
        ).run(loss)
        self.decoder.eval()

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        if step < self.warm_up:
            return self.lr * step / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.last_lr + 0.5 * (self.lr - self.last_lr) * (1 + math.cos(math.pi * done))

    def score(self, test: Images) -> Scores:
        return Scores.streamed(self._parts(test), covers=test.view(self.backbone).covers)

    def _parts(self, test: Images) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        prepare = self.net.preprocess
        for pixels in test.batches(READ_BATCH, size=prepare.shrink):
            # One by one: kernels may depend on the size of a batch.
            smooth = torch.cat([self.maps(prepare.normalise(each[None])) for each in pixels])
            yield mean_of_highest(smooth, self.highest), smooth

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the smoothed maps, (b, 256, 256), of prepared images."""
        with torch.no_grad():
            tokens, grid = self.encoder(images)
            groups = zip(
                self.encoder.maps(tokens, grid), self.encoder.maps(self.decoder(tokens), grid), strict=True
            )
            apart = [1 - F.cosine_similarity(teacher, student) for teacher, student in groups]
        size = (images.shape[2], images.shape[3])
        large = torch.stack([anomaly_maps(each, size, sigma=0, align_corners=True) for each in apart]).mean(0)
        return anomaly_maps(large, (SIDE, SIDE), sigma=4, radius=RADIUS, border="constant")


class Encoder:
    """The frozen transformer: the tokens of some of its blocks.

    Raises
    ------
    FitError
        The network is no timm vision transformer, or has fewer blocks.
    """

    def __init__(self, module: nn.Module, blocks: Sequence[int], name: str) -> None:
        known: Any = getattr(module, "blocks", None)
        embed: Any = getattr(module, "patch_embed", None)
        if not isinstance(known, nn.Sequential | nn.ModuleList) or embed is None:
            raise FitError(
                f"dinomaly: backbone {name} is no vision transformer of timm (it has no blocks and "
                "patch_embed); choose one, such as vit_base_patch14_reg4_dinov2.lvd142m"
            )
        if max(blocks) >= len(known):
            raise FitError(
                f"dinomaly: backbone {name} has {len(known)} blocks, 0 to {len(known) - 1}; blocks asks for "
                f"{max(blocks)}: name others (blocks=...)"
            )
        self.module, self.blocks, self.patch = module.eval(), [known[i] for i in blocks], embed.patch_size
        self.prefix, self.width = int(getattr(module, "num_prefix_tokens", 0)), int(module.embed_dim)
        self.heads = int(known[0].attn.num_heads)

    def __call__(self, images: torch.Tensor) -> tuple[list[torch.Tensor], tuple[int, int]]:
        """Return the tokens of each block, (b, t, c), class and registers first, and the patches' grid."""
        taken: list[torch.Tensor] = []
        hooks = [block.register_forward_hook(lambda _m, _i, out: taken.append(out)) for block in self.blocks]
        try:
            with torch.no_grad():
                self.module(images)
        finally:
            for hook in hooks:
                hook.remove()
        return taken, (images.shape[2] // self.patch[0], images.shape[3] // self.patch[1])

    def maps(self, tokens: Sequence[torch.Tensor], grid: tuple[int, int]) -> list[torch.Tensor]:
        """Return the means of the first and of the second half of the blocks as maps (b, c, h, w)."""
        half = len(tokens) // 2
        means = [torch.stack(list(some)).mean(0) for some in (tokens[:half], tokens[half:])]
        return [m[:, self.prefix :].transpose(1, 2).unflatten(2, grid) for m in means]


class Decoder(nn.Module):
    """The noisy bottleneck and blocks of linear attention; returns their outputs, the last one first."""

    def __init__(self, width: int, heads: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(nn.Dropout(dropout), *_mlp(width, dropout))
        self.blocks = nn.ModuleList(_LinearBlock(width, heads) for _ in range(depth))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01, a=-0.03, b=0.03)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        found, out = self.bottleneck(torch.stack(list(tokens)).mean(0)), []
        for block in self.blocks:
            found = block(found)
            out.append(found)
        return out[::-1]


class _LinearBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-8) for _ in range(2))
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(*_mlp(width, 0.0))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        b, t, c = tokens.shape
        qkv = self.qkv(self.norms[0](tokens)).view(b, t, 3, self.heads, c // self.heads)
        attended = linear_attention(*qkv.permute(2, 0, 3, 1, 4)).transpose(1, 2).reshape(b, t, c)
        tokens = tokens + self.project(attended)
        return tokens + self.mlp(self.norms[1](tokens))


def _mlp(width: int, dropout: float) -> list[nn.Module]:
    return [
        nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout),
        nn.Linear(4 * width, width), nn.Dropout(dropout),
    ]  # fmt: skip


def linear_attention(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return φ(q) (φ(k)ᵀ v) / (φ(q) Σ φ(k)) with φ = elu + 1, all (..., t, c)."""
    queries, keys = F.elu(queries) + 1, F.elu(keys) + 1
    weights = queries @ keys.sum(-2)[..., None]
    return queries @ (keys.mT @ values) / (weights + 1e-6)


def loose_loss(teacher: Sequence[torch.Tensor], student: Sequence[torch.Tensor], easy: float) -> torch.Tensor:
    """Return the mean over groups of 1 - cos of whole maps; easy points have a tenth of the gradient.

    Easy are the points of the mini-batch whose 1 - cos is below the k-th largest of n, k = int(n (1 - easy)).
    """
    losses = []
    for own, given in zip(teacher, student, strict=True):
        apart = 1 - F.cosine_similarity(own, given.detach())[:, None]
        hard = max(1, int(apart.numel() * (1 - easy)))
        limit = apart.flatten().topk(hard).values[-1]
        if given.requires_grad:
            factor = torch.where(apart < limit, 0.1, 1.0)
            given.register_hook(lambda gradient, factor=factor: gradient * factor)
        losses.append((1 - F.cosine_similarity(own.flatten(1), given.flatten(1))).mean())
    return torch.stack(losses).mean()
