"""How busy GPUs are, and which a worker or a cluster gets, without a GPU."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from bench.core.errors import AnobenchError
from bench.features.backbone import Backbones
from bench.features.device import why_no_gpu
from bench.run.executors import choose, devices
from bench.run.executors.choose import Options, pick_devices
from bench.run.runner import Runner
from bench.run.standin import standin
from bench.suite.registry import Registry


class FakeNvml:
    """Two GPUs of 80 GiB; a third is not there."""

    class NVMLError(Exception):
        """No such GPU."""

    asked: list[int | str]

    def __init__(self) -> None:
        self.asked = []

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        self.asked.append(number)
        if number > 1:
            raise self.NVMLError
        return number

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:
        self.asked.append(name)
        return 0

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=(87, 5)[handle])

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(
            used=(12 + handle) * 2**30 + 2**29, free=(67 - handle) * 2**30, total=80 * 2**30
        )


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setattr(devices, "_nvml", lambda: fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


@pytest.mark.usefixtures("nvml")
def test_each_gpu_that_is_there_says_how_busy_it_is() -> None:
    assert devices.usage(["cpu"]) == ()
    assert devices.usage(["cuda:2", "cuda:1", "cuda", "cpu"]) == (
        ("cuda", "87 % busy, 12.5 of 80.0 GiB"),
        ("cuda:1", "5 % busy, 13.5 of 80.0 GiB"),
    )


def test_gpus_are_those_that_this_process_may_see(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-abc")
    devices.usage(["cuda:0", "cuda:1", "cuda:2"])
    assert nvml.asked == [1, "GPU-abc", 2]
    assert devices.own_device("cuda:1") == ("cuda", "GPU-abc")
    assert devices.own_device("cuda") == ("cuda", "1")
    assert devices.own_device("cuda:2") == ("cuda", "2")
    assert devices.own_device("cpu") == ("cpu", None)


@pytest.mark.parametrize(
    ("resources", "device"),
    [({}, "cpu"), ({"GPU": 0.5}, "cpu"), ({"GPU": 1.0}, "cuda"), ({"GPU": 8.0}, "cuda")],
)
def test_a_ray_cluster_is_used_with_its_gpus_if_it_has_any(
    monkeypatch: pytest.MonkeyPatch, resources: dict[str, float], device: str
) -> None:
    ray = SimpleNamespace(cluster_resources=lambda: resources)
    monkeypatch.setattr("bench.core.optional.optional_import", lambda *_: ray)
    monkeypatch.setattr("bench.run.executors.ray.connect.connect", lambda *_: None)
    assert pick_devices(Options(executor="ray")) == [device]
    assert pick_devices(Options(executor="ray", device="cpu")) == ["cpu"]


@pytest.mark.parametrize(
    ("shown", "own", "asked"),
    [
        (None, ["0", "1"], [0, 1]),
        ("3, 5", ["3", "5"], [3, 5]),
        ("GPU-abc,GPU-def", ["GPU-abc", "GPU-def"], ["GPU-abc", "GPU-def"]),
        ("MIG-1/2/3", ["MIG-1/2/3", "1"], ["MIG-1/2/3", 1]),
        ("1,-1,0", ["1", "1"], [1, 1]),
        ("-1", ["0", "1"], [0, 1]),
    ],
)
def test_each_worker_gets_the_gpu_that_cuda_counts(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, shown: str | None, own: list[str], asked: list[object]
) -> None:
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert [devices.own_device(f"cuda:{number}")[1] for number in range(2)] == own
    for number in range(2):
        devices.free_bytes(f"cuda:{number}")
    assert nvml.asked == asked


@pytest.mark.usefixtures("nvml")
def test_free_memory_is_nvmls_and_unknown_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.free_bytes("cuda:1") == 66 * 2**30
    assert devices.free_bytes("cuda:2") is None
    assert devices.free_bytes("cpu") is None
    monkeypatch.setattr(devices, "_nvml", lambda: None)
    assert devices.free_bytes("cuda:0") is None


def test_a_driver_that_torch_cannot_use_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choose, "_may_have_gpus", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_devices(Options()) == ["cpu"]
    assert "torch can use no GPU" in caplog.text
    assert why_no_gpu() in caplog.text
    caplog.clear()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert pick_devices(Options()) == ["cpu"]
    assert f"torch {torch.__version__} is built for CPUs" in caplog.text
    with pytest.raises(AnobenchError, match=r"finds 0 GPUs .*built for CPUs"):
        pick_devices(Options(device="cuda"))


def test_the_reason_is_cudas_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nUpdate it")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", refuse)
    assert why_no_gpu() == "The NVIDIA driver on your system is too old (found version 11040)."
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert why_no_gpu() == ""


@pytest.mark.parametrize("device", ["mps", "xpu", "xpu:1"])
def test_other_accelerators_are_refused_in_one_line(device: str) -> None:
    with pytest.raises(AnobenchError, match=f"device {device}: anobench runs on cpu and on cuda"):
        pick_devices(Options(device=device))
    with pytest.raises(AnobenchError, match=f"device {device}: anobench runs on cpu and on cuda"):
        Runner(Registry(), Backbones({}, None), device=device)


def test_gpus_are_numbered_as_nvml_numbers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    with standin(devices=2):
        assert pick_devices(Options(device="cuda")) == ["cuda:0", "cuda:1"]
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_a_gpu_gets_workers_for_methods_that_compute_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "cores", lambda: 64)
    assert choose._cpu_places(["cuda:0"], 4, cells=200) == choose.CPU_PLACES
    assert choose._cpu_places(["cuda:0"], 4, cells=3) == 3
    assert choose._cpu_places(["cuda:0", "cuda:1"], 4, cells=3) == 2
    assert choose._cpu_places(["cuda:0"], 4, cells=0) == 0
    assert choose._cpu_places(["cpu"], 64, cells=200) == 0, "there, every worker is one"
    monkeypatch.setattr(choose, "cores", lambda: 4)
    assert choose._cpu_places(["cuda:0"], 4, cells=200) == 0, "the cores are for the GPU's own workers"


def test_the_methods_of_scikit_learn_say_that_they_compute_on_the_cpu() -> None:
    registry = Registry()
    found = {
        name for name, adapter in registry.methods.items() if adapter.attributes.get("computes_on") == "cpu"
    }
    assert found == {
        "gmm", "isolation_forest", "kmeans_distance", "lof", "oc_svm", "oc_svm_oracle", "pyod", "sklearn",
    }  # fmt: skip
