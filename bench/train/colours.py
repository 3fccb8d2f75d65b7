"""Changes of colour and sharpness to textures before they become anomalies, in batches.

Each image gets three different ones of ten, in random order, with its own parameters: the set of DRAEM and
ADL, by the formulas of PIL and imgaug, rounded to grey levels after each change. One is simpler: brightness
changes along the luma, where imgaug picks one of six colour spaces.
"""

from __future__ import annotations

import torch

from bench.data.transfer import constant, sent
from bench.train.synthetic import rotate

#: Changes to each image.
CHANGES_EACH = 3
_LUMA = (0.299, 0.587, 0.114)


def change_colours(textures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return textures (b, 3, s, s), uint8, each after three different changes."""
    order = torch.rand(len(textures), len(CHANGES), generator=generator).argsort(1)[:, :CHANGES_EACH]
    # Every change draws numbers for all images, so that none depends on the others.
    drawn = torch.rand(CHANGES_EACH, len(textures), 4, generator=generator)
    out = textures.clone()
    todo, parts = [], []
    for turn in range(CHANGES_EACH):
        for which, change in enumerate(CHANGES):
            rows = torch.nonzero(order[:, turn] == which)[:, 0]
            if len(rows):
                todo.append(change)
                parts += [rows, drawn[turn, rows].view(-1, 4, 1, 1)]
    there = sent(out.device, *parts)
    for change, at, u in zip(todo, there[::2], there[1::2], strict=True):
        out[at] = change(out[at].float(), u).round().clamp(0, 255).to(torch.uint8)
    return out


def gamma_contrast(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """255 (x / 255)^γ, rounded down, γ from 0.5 to 2 for each channel."""
    levels = torch.arange(256, device=x.device) / 255
    return _look_up(x, (255 * levels ** (0.5 + 1.5 * u[:, :3, 0])).floor())


def brightness(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Multiply the luma by 0.8 to 1.2 and add -30 to 30, in either order."""
    luma = (x * constant(x.device, *_LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    times, plus = 0.8 + 0.4 * u[:, :1], 60 * u[:, 1:2] - 30
    changed = torch.where(u[:, 2:3] < 0.5, luma * times + plus, (luma + plus) * times)
    return x + (changed.clamp(0, 255) - luma)


def sharpness(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """PIL's: from a smoothed image (factor 0) past the original to an over-sharp one (2); not at the edge."""
    # A mean of 3 × 3 with the middle counted five times; sums are much faster than a convolution by channel.
    rows = x[:, :, :-2] + x[:, :, 1:-1] + x[:, :, 2:]
    nine = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = x.clone()
    smooth[:, :, 1:-1, 1:-1] = ((nine + 4 * x[:, :, 1:-1, 1:-1]) / 13).round()
    return (smooth + (x - smooth) * (2 * u[:, :1])).floor()


def hue_and_saturation(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Turn the hue by up to 50/255 of a circle, and add -50 to 50 (of 255) to the saturation."""
    hue, saturation, value = hsv_of_rgb(x / 255)
    hue = hue + (100 * u[:, 0] - 50) / 255
    saturation = (saturation + (100 * u[:, 1] - 50) / 255).clamp(0, 1)
    return 255 * rgb_of_hsv(hue, saturation, value)


def solarize(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Half of the images: invert values above a threshold of 32 to 128."""
    threshold = (32 + 97 * u[:, :1]).floor()
    return torch.where((x >= threshold) & (u[:, 1:2] < 0.5), 255 - x, x)


def posterize(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Keep the upper 1 to 8 bits."""
    step = 2 ** (8 - (1 + 8 * u[:, :1]).floor())
    return (x / step).floor() * step


def invert(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    del u
    return 255 - x


def autocontrast(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """PIL's: stretch each channel after cutting 0 to 20 % of its pixels at both ends."""
    counts = _histograms(x)
    n = x.shape[-2] * x.shape[-1]
    cut = (n * (21 * u[:, 0]).floor() / 100).floor()[:, :, :1]
    low = (counts.cumsum(2) > cut).float().argmax(2, keepdim=True)
    high = 255 - (counts.flip(2).cumsum(2) > cut).float().argmax(2, keepdim=True)
    # In double precision and with one rounding, as the floor below is sensitive to the last bit.
    scale = torch.full_like(low, 255, dtype=torch.float64) / (high - low).clamp(min=1)
    levels = torch.arange(256, device=x.device)
    table = (levels * scale - low * scale).clamp(0, 255).floor().to(x.dtype)
    return _look_up(x, torch.where(high > low, table, levels))


def equalize(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """PIL's: make each channel's histogram flat."""
    del u
    counts = _histograms(x)
    last = counts.gather(2, 255 - (counts.flip(2) > 0).float().argmax(2, keepdim=True))
    step = ((counts.sum(2, keepdim=True) - last) / 255).floor()
    before = counts.cumsum(2) - counts
    table = (((step / 2).floor() + before) / step.clamp(min=1)).floor().clamp(max=255)
    return _look_up(x, torch.where(step > 0, table, torch.arange(256, device=x.device)))


def turn(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Rotate by up to 45°, black outside."""
    return rotate(x, 90 * u[:, 0, 0, 0] - 45)


CHANGES = (
    gamma_contrast, brightness, sharpness, hue_and_saturation, solarize,
    posterize, invert, autocontrast, equalize, turn,
)  # fmt: skip


def _look_up(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Map the grey levels of images (b, 3, h, w) by a table (b, 3, 256)."""
    return table.to(x.dtype).gather(2, x.flatten(2).long()).view_as(x)


def _histograms(x: torch.Tensor) -> torch.Tensor:
    """Return the counts of grey levels in each channel, (b, 3, 256), float."""
    counts = torch.zeros(*x.shape[:2], 256, device=x.device)
    flat = x.flatten(2).long()
    return counts.scatter_add_(2, flat, torch.ones((), device=x.device).expand(flat.shape))


def hsv_of_rgb(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return hue (in circles, from -1/6), saturation and value of (b, 3, h, w) in [0, 1]; each (b, h, w)."""
    value = x.amax(1)
    span = value - x.amin(1)
    red, green, blue = x.unbind(1)
    side = torch.where(value == green, blue - red, red - green)
    start = torch.where(value == green, 2.0, 4.0)
    is_red = value == red
    side, start = torch.where(is_red, green - blue, side), torch.where(is_red, 0.0, start)
    hue = (start + side / span.clamp(min=1e-12)) / 6
    return torch.where(span > 0, hue, 0), span / value.clamp(min=1e-12), value


def rgb_of_hsv(hue: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Undo `hsv_of_rgb`; the hue may be any number."""
    shifts = constant(hue.device, 5.0, 3.0, 1.0).view(3, 1, 1)
    k = shifts + 6 * (hue - hue.floor())[:, None]
    k = torch.where(k >= 6, k - 6, k)
    return value[:, None] * (1 - saturation[:, None] * torch.minimum(k, 4 - k).clamp(0, 1))
