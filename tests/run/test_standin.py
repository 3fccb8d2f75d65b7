"""The stand-in for a GPU: refuses what CUDA refuses, computes what the host computes, and counts."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from bench.run.standin import standin


def test_tensors_live_on_the_device_and_their_results_too() -> None:
    with standin():
        made = torch.zeros(3, 4, device="cuda")
        moved = torch.ones(3, 4).to("cuda:0")
        assert made.device == moved.device == (made + moved)[1].device == torch.device("cuda:0")
        assert made.is_cuda
        assert not moved.cpu().is_cuda
        assert made.new_ones(2).is_cuda
        assert not torch.zeros(2).is_cuda
        assert torch.cuda.is_available()
        network = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.BatchNorm1d(2)).to("cuda")
        loss = network(moved).square().mean()
        loss.backward()
        torch.optim.Adam(network.parameters()).step()
        assert all(each.is_cuda for each in network.parameters())
        assert all(each.grad is not None and each.grad.is_cuda for each in network.parameters())
        assert all(each.is_cuda for each in copy.deepcopy(network).state_dict().values())
    assert not torch.zeros(2).is_cuda


def test_what_cuda_refuses_is_refused() -> None:
    with standin():
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        with pytest.raises(TypeError, match="numpy"):
            np.asarray(there)
        with pytest.raises(RuntimeError, match="'cuda' device type for generator"):
            torch.rand(3, device="cuda", generator=torch.Generator())
        with pytest.raises(RuntimeError, match="pin"):
            there.pin_memory()
        assert (there + torch.tensor(2.0)).is_cuda, "a number of the host is an argument"


def test_values_are_the_hosts_and_draws_of_the_device_are_not() -> None:
    values = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    with standin():
        found = (values.to("cuda") @ values.to("cuda")).cpu()
        on_host = torch.rand(3, generator=torch.Generator().manual_seed(1))
        generator = torch.Generator(device="cuda").manual_seed(1)
        on_device = torch.rand(3, device="cuda", generator=generator).cpu()
    assert torch.equal(found, values @ values)
    assert torch.equal(on_host, torch.rand(3, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(on_device, on_host)


@pytest.mark.parametrize(
    ("what", "waits"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: bool(x.any()), 1),
        (lambda x: float(x[0]), 1),
        (lambda x: x.nonzero(), 1),
        (lambda x: x.unique(), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: torch.masked_select(x, x > 0), 1),
        (lambda x: torch.linalg.cholesky(torch.eye(3, device=x.device)), 1),
        (lambda x: x.repeat_interleave(torch.ones(4, dtype=torch.int64, device=x.device)), 1),
        (lambda x: x.masked_fill(x > 0, 0.0), 0),
        (lambda x: x.topk(2), 0),
        (lambda x: torch.linalg.cholesky_ex(torch.eye(3, device=x.device)), 0),
        (lambda x: torch.cdist(x[None], x[None]), 0),
    ],
)
def test_calls_that_wait_are_counted(what: object, waits: int) -> None:
    assert callable(what)
    with standin() as counts:
        x = torch.arange(4.0, device="cuda")
        counts.clear()
        what(x)
        assert counts.totals()["waits"] == waits
        assert counts.totals()["to_host"] == 0


def test_copies_are_counted_and_pinned_ones_named() -> None:
    with standin() as counts:
        x = torch.ones(3).to("cuda")
        torch.ones(3).pin_memory().to("cuda", non_blocking=True)
        torch.ones(3).to("cuda", non_blocking=True)
        torch.tensor([1.0], device="cuda")
        x[torch.tensor([0, 2])]
        x.copy_(torch.zeros(3))
        assert sorted(key.split()[0] for key in counts.to_device.elements()) == [
            "copy_", "index", "pinned", "tensor", "to", "to",
        ]  # fmt: skip
        x.cpu(), x.tolist(), torch.empty(3).copy_(x)
        assert counts.totals()["to_host"] == 3


def test_views_are_no_kernels_and_backward_passes_count() -> None:
    with standin() as counts:
        x = torch.ones(4, 4, device="cuda", requires_grad=True)
        counts.clear()
        x.T.reshape(2, 8)[0].detach()
        assert counts.totals()["kernels"] <= 1  # the copy that the reshaping needs
        counts.clear()
        y = (x * 2).sum()
        forward = counts.totals()["kernels"]
        y.backward()
        assert counts.totals()["kernels"] > forward


def test_memory_runs_out_and_comes_back() -> None:
    with standin(memory=1000):
        held = torch.zeros(100, device="cuda")
        with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
            torch.zeros(200, device="cuda")
        assert torch.cuda.mem_get_info() == (600, 1000)
        del held
        assert torch.zeros(200, device="cuda").is_cuda
        assert torch.cuda.max_memory_allocated() == 800
