"""Any image model of the library anomalib, trained by it on our split and measured by our metrics."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Iterator
from typing import Any

import torch

from bench import AnobenchError, FitError, Images, Method, PositiveInt, Scores, did_you_mean

#: What anomalib adds around a model, which is ours to do.
OURS = ("post_processor", "evaluator", "visualizer")


class Anomalib(Method):
    """Scores and anomaly maps of a model of anomalib (Akcay et al., 2022), as it returns them.

    The model is made, pre-processed and trained by anomalib and Lightning with their own defaults, on the
    training images of the task; it has no validation images, and its scores are not normalised.

    Parameters
    ----------
    model : str
        A class of ``anomalib.models``: ``Patchcore``, ``Padim``, ``EfficientAd``, ``Stfpm``, ...
    batch : int
        Images in a mini-batch; anomalib's default is 32 (1 for EfficientAd).
    epochs : int, optional
        Passes over the training images. Models that collect a memory bank know theirs (1); others must be
        given it.
    size : int, optional
        Side in pixels to which images are brought before anomalib's own resizing; needed where images differ
        in size.
    **options
        The model's own parameters, as ``backbone=resnet18,coreset_sampling_ratio=0.1``. Its weights are those
        that anomalib downloads; ``pre_trained=false`` does without.

    References
    ----------
    Akcay, Ameln, Vaidya, Lakshmanan, Ahuja, Genc, "Anomalib: A Deep Learning Library for Anomaly Detection",
    ICIP 2022.
    """

    stochastic = True

    def __init__(
        self,
        model: str = "Patchcore",
        batch: PositiveInt = 32,
        epochs: PositiveInt | None = None,
        size: PositiveInt | None = None,
        **options: Any,
    ) -> None:
        self.kind = _find(model)
        self.name, self.batch, self.epochs, self.options = model, batch, epochs, options
        self.size = None if size is None else (size, size)
        self.known = set(inspect.signature(self.kind.__init__).parameters) - {"self", "args", "kwargs"}
        if unknown := sorted(set(options) - self.known):
            raise AnobenchError(
                f"anomalib's {model} has no parameter {unknown[0]!r}{did_you_mean(unknown[0], self.known)}"
            )

    def fit(self, train: Images) -> None:
        from lightning.pytorch import Trainer, seed_everything

        if not len(train):
            raise FitError("anomalib: there are no training images; expected at least one")
        seed_everything(self.seed % 2**32, verbose=False)
        self.net = self._make()
        if self.net.learning_type.value in ("zero_shot", "few_shot"):
            self.net.setup("predict")
            self.net.to(self.device).eval()
            return
        arguments = dict(self.net.trainer_arguments)
        if self.epochs is not None:
            arguments["max_epochs"] = self.epochs
        if not {"max_epochs", "max_steps"} & arguments.keys():
            raise FitError(
                f"anomalib's {self.name} does not say how long it trains: give it epochs "
                f"(anomalib[model={self.name},epochs=100])"
            )
        with tempfile.TemporaryDirectory() as folder:
            arguments |= {
                "accelerator": "cpu" if self.device.type == "cpu" else "gpu",
                "devices": [self.device.index or 0] if self.device.type != "cpu" else 1,
                "default_root_dir": folder,
                "logger": False,
                "enable_checkpointing": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
            }
            Trainer(**arguments).fit(
                self.net, datamodule=_data_module(train, self.batch, self.size, self.seed)
            )
        self.net.to(self.device).eval()

    def _make(self) -> Any:
        without = {name: False for name in OURS if name in self.known}
        try:
            return self.kind(**without | self.options)
        except Exception as error:
            raise FitError(
                f"anomalib's {self.name} cannot be made: {type(error).__name__}: {error}. If its weights "
                "cannot be had, download them with anomalib once, or give pre_trained=false"
            ) from error

    def score(self, test: Images) -> Scores:
        parts = self._parts(test)
        first = next(parts, None)
        if first is None or first[1] is not None:
            return Scores.streamed(_chained(first, parts), covers=self._covers())
        return Scores(torch.cat([first[0], *(scores for scores, _ in parts)]))

    def _parts(self, test: Images) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        for pixels in test.batches(self.batch, size=self.size):
            with torch.no_grad():
                found = self.net(pixels.float() / 255)
            maps = found.anomaly_map
            yield (
                found.pred_score.reshape(len(pixels)).float(),
                None if maps is None else maps.reshape(len(pixels), *maps.shape[-2:]).float(),
            )

    def _covers(self) -> tuple[float, float, float, float] | None:
        """Return the part of the image that a centre crop in the model's pre-processing leaves."""
        transform = getattr(self.net.pre_processor, "transform", None)
        steps = {type(each).__name__: each for each in getattr(transform, "transforms", [transform])}
        if not {"Resize", "CenterCrop"} <= steps.keys():
            return None
        whole, crop = (list(steps[name].size) * 2 for name in ("Resize", "CenterCrop"))
        high, wide = crop[0] / whole[0], crop[1] / whole[1]
        return ((1 - high) / 2, (1 - wide) / 2, high, wide)


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    if first is not None:
        yield first
    yield from rest


def _data_module(images: Images, batch: int, size: tuple[int, int] | None, seed: int) -> Any:
    """Return images as Lightning wants them: shuffled mini-batches of anomalib's own kind."""
    from anomalib.data import ImageBatch
    from lightning.pytorch import LightningDataModule

    def collated(rows: list[int]) -> Any:
        pixels = torch.cat(list(images[rows].batches(len(rows), size=size))).cpu()
        return ImageBatch(image=pixels.float() / 255, gt_label=torch.zeros(len(rows), dtype=torch.bool))

    class OurImages(LightningDataModule):
        def train_dataloader(self) -> Any:
            generator = torch.Generator().manual_seed(seed)
            return torch.utils.data.DataLoader(
                range(len(images)), batch, shuffle=True, collate_fn=collated, generator=generator
            )

    return OurImages()


def _find(name: str) -> Any:
    """Return the class of a model."""
    try:
        models = importlib.import_module("anomalib.models")
        base = importlib.import_module("anomalib.models.components").AnomalibModule
    except ImportError as error:
        raise AnobenchError(
            f"the method anomalib needs the package anomalib ({error}): "
            "python -m pip install 'anobench[anomalib]'"
        ) from None
    found = getattr(models, name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        every = sorted(
            n for n, each in vars(models).items() if isinstance(each, type) and issubclass(each, base)
        )
        raise AnobenchError(f"anomalib has no model {name!r}{did_you_mean(name, every)}")
    return found
