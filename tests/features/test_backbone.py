"""Backbones by name: what resolves, what is refused, and what makes two of them the same."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.core.errors import BackboneError, DataError
from bench.features.backbone import Backbones, HogTable, NetworkTable, PixelsTable
from bench.features.presets import PRESETS
from bench.features.spec import architectures

MNV2 = """
timm = "mobilenetv2_100"
args = { pad_type = "same", num_classes = 1001 }
file = "weights/mobilenetv2_100.tf_in1k.safetensors"
resize = 256
crop = 224
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
"""


def test_resolving_and_hashing_do_not_import_torch(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    code = (
        "import sys; from pathlib import Path; from bench.features.backbone import Backbones, NetworkTable\n"
        "t = NetworkTable(timm='resnet18', file='w.safetensors')\n"
        f"b = Backbones({{'mine': t}}, Path({str(tmp_path)!r}))\n"
        "names = ('mine', 'lite0', 'pixels', 'hog', 'panda', 'resnet152.tv_in1k')\n"
        "for name in names: b.get(name).identity()\n"
        "assert not {'torch', 'timm', 'torchvision'} & set(sys.modules), 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_suite_table_of_the_documentation_works_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mobilenetv2_100.tf_in1k.safetensors").write_bytes(b"x")
    table = NetworkTable.model_validate(tomllib.loads(MNV2))
    backbone = Backbones({"mnv2": table}, tmp_path).get("mnv2")
    assert backbone.name == "mnv2"
    assert backbone.weights_file() == tmp_path / "weights" / "mobilenetv2_100.tf_in1k.safetensors"
    assert len(backbone.identity()) == 64


def test_brackets_override_and_the_name_is_canonical() -> None:
    backbones = Backbones()
    assert backbones.get("pixels[size=16]").spec == PixelsTable(size=16)
    assert backbones.get("pixels[size=32]").name == "pixels"
    assert backbones.get("hog[orientations=6,cell=4]").spec == HogTable(orientations=6, cell=4)
    given = backbones.get("resnet18.tv_in1k[resize=256,layer=layer3,crop=224]")
    assert given.name == "resnet18.tv_in1k[crop=224,layer=layer3,resize=256]"
    assert isinstance(given.spec, NetworkTable)
    assert (given.spec.layer, given.spec.resize, given.spec.crop) == ("layer3", 256, 224)
    three = backbones.get("plume-resnet50[mean=[0.1,0.2,0.3],std=0.5]").spec
    assert isinstance(three, NetworkTable)
    assert (three.mean, three.std, three.width) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), 3072)


def test_a_suite_starts_from_a_preset_and_goes_before_all_others() -> None:
    mine = Backbones(
        {
            "small": NetworkTable(preset="pixels[size=8]"),
            "panda": NetworkTable(preset="panda", pipeline="pil"),
            "again": NetworkTable(preset="small"),
        }
    )
    assert mine.get("small").identity() == Backbones().get("pixels[size=8]").identity()
    assert mine.get("again").identity() == mine.get("small").identity()
    spec = mine.get("panda").spec
    assert isinstance(spec, NetworkTable)
    assert (spec.pipeline, spec.torchvision) == ("pil", "resnet152/IMAGENET1K_V1")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_name_networks_that_exist(name: str) -> None:
    spec = Backbones().get(name).spec
    assert isinstance(spec, NetworkTable)
    if spec.timm is not None:
        assert spec.timm in architectures("timm")
    else:
        assert (spec.torchvision or "").partition("/")[0] in architectures("torchvision")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pixles", "did you mean 'pixels'"),
        ("resnet151", "did you mean"),
        ("torchvision:resnet51/X", "'resnet50'"),
        ("panda[resise=3]", "did you mean 'resize'"),
        ("pixels[size=0]", "greater than 0"),
        ("hog[cell=40]", "smaller cell"),
        ("resnet18[crop=300,resize=256]", "does not fit"),
        ("resnet18[interpolation=lanczos]", 'pipeline = "pil"'),
        ("resnet18[std=0]", "positive"),
        ("pixels[size", "closing"),
        ("lite0[crop=300]", "does not fit"),
        ("panda[timm=resnet18]", "unknown parameter 'timm'"),
    ],
)
def test_mistakes_are_named_with_their_mend(name: str, said: str) -> None:
    with pytest.raises(BackboneError) as caught:
        Backbones().get(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_is_of_exactly_one_kind() -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        NetworkTable(timm="resnet18", torchvision="resnet18/DEFAULT")
    with pytest.raises(ValidationError, match="got none"):
        NetworkTable(file="x.safetensors")
    with pytest.raises(ValidationError, match="64 hexadecimal"):
        NetworkTable(timm="resnet18", file="x", sha256="abc")


def test_missing_weights_name_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("suite", "one", "two"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("ANOBENCH_DATA", f"{tmp_path / 'one'}:{tmp_path / 'two'}")
    table = NetworkTable(timm="resnet18", file="w/r.safetensors")
    backbone = Backbones({"mine": table}, tmp_path / "suite").get("mine")
    with pytest.raises(BackboneError) as caught:
        backbone.identity()
    for folder in ("suite", "one", "two"):
        assert str(tmp_path / folder / "w" / "r.safetensors") in str(caught.value)
    (tmp_path / "two" / "w").mkdir()
    (tmp_path / "two" / "w" / "r.safetensors").write_bytes(b"here")
    assert backbone.weights_file() == tmp_path / "two" / "w" / "r.safetensors"


def test_wrong_weights_name_expected_and_found(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    table = NetworkTable(timm="resnet18", file=str(file), sha256="0" * 64)
    with pytest.raises(BackboneError) as caught:
        Backbones({"mine": table}).get("mine").identity()
    assert found in str(caught.value)
    assert "0" * 64 in str(caught.value)
    right = table.model_copy(update={"sha256": found})
    assert Backbones({"mine": right}).get("mine").weights_file() == file


def test_identity_is_what_determines_the_features(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"a")
    (tmp_path / "copy.safetensors").write_bytes(b"a")
    (tmp_path / "b.safetensors").write_bytes(b"b")
    base = {"timm": "resnet18", "file": "a.safetensors", "resize": 64, "mean": 0.5, "std": 0.5}

    def identity(**changes: object) -> str:
        table = NetworkTable.model_validate(base | changes)
        return Backbones({"mine": table}, tmp_path).get("mine").identity()

    same = identity()
    assert identity(file="copy.safetensors") == same
    changes: list[dict[str, object]] = [
        {"file": "b.safetensors"},
        {"resize": 65},
        {"crop": 32},
        {"mean": 0.4},
        {"layer": "layer3"},
        {"pool": "max"},
        {"pipeline": "pil"},
        {"precision": "float16"},
        {"args": {"num_classes": 3}},
        {"interpolation": "bicubic"},
        {"width": 3072},
    ]
    others = [identity(**change) for change in changes]
    assert len({same, *others}) == len(changes) + 1


def test_bfloat16_on_a_cpu_only_where_it_has_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    half, plain = Backbones().get("lite0[precision=bfloat16]"), Backbones().get("lite0")
    for has, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("bench.features.backbone.has_bfloat16", lambda has=has: has)
        assert half.precision_on("cpu") == expected
        assert half.precision_on("cuda") == "bfloat16"
        assert plain.precision_on("cpu") == Backbones().get("lite0[precision=float16]").precision_on("cpu")
    assert half.identity() != plain.identity()


def test_maps_do_not_depend_on_how_vectors_are_pooled() -> None:
    backbones = Backbones()
    one, two = backbones.get("panda"), backbones.get("panda[pool=max]")
    assert one.identity() != two.identity()
    assert one.map_identity() == two.map_identity()


def test_a_data_folder_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANOBENCH_DATA", str(tmp_path / "none"))
    with pytest.raises(DataError, match="not a folder"):
        Backbones().get("panda[file=w.pth]").identity()
