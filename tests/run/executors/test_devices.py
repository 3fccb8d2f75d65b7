"""How busy GPUs are, and which a worker or a cluster gets, without a GPU."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.run.executors import devices
from bench.run.executors.choose import Options, pick_devices


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
        return SimpleNamespace(used=(12 + handle) * 2**30 + 2**29, total=80 * 2**30)


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
