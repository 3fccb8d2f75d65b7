"""Fitting several cells' methods together: same results, shares of the time, and one that fails."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from bench import FitError, Images, Method, Scores
from bench.suite.registry import Registry
from bench.train.together import fit_many
from tests.features_as_images import images, scores

rng = np.random.default_rng(11)
BANKS = [np.abs(rng.normal(size=(n, 8))).astype(np.float32) for n in (40, 40, 25, 40)]
TEST = np.abs(rng.normal(size=(15, 8)) * 2).astype(np.float32)


class Toy(Method):
    """Learns the sum of its bank; refuses banks with a negative sum."""

    calls: ClassVar[list[int]] = []

    def fit(self, train: Images) -> None:
        self.fit_together([self], [train])

    @classmethod
    def fit_together(cls, methods: list[Any], trains: list[Images]) -> None:
        cls.calls.append(len(methods))
        for method, train in zip(methods, trains, strict=True):
            method.total = float(train.features("any").sum())
            if method.total < 0:
                raise FitError("below zero")

    def score(self, test: Images) -> Scores:
        return Scores([self.total] * len(test))


def ticks() -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += 6.0


def made(name: str, n: int, **params: Any) -> list[Any]:
    methods = [Registry().methods[name].load()(**params) for _ in range(n)]
    for seed, method in enumerate(methods):
        method.device, method.seed = torch.device("cpu"), seed
    return methods


def test_each_gets_its_share_of_the_time() -> None:
    Toy.calls.clear()
    clock = ticks()
    fits = fit_many(
        [Toy() for _ in range(5)], [images(np.ones((2, 2)))] * 5, at_once=3, clock=lambda: next(clock)
    )
    assert Toy.calls == [3, 2]
    assert [(f.seconds, f.together, f.error) for f in fits] == [(2.0, 3, None)] * 3 + [(3.0, 2, None)] * 2


def test_only_who_would_fail_alone_fails() -> None:
    Toy.calls.clear()
    banks = [np.ones((2, 2)), -np.ones((2, 2)), np.ones((2, 2)) * 2]
    methods = [Toy() for _ in banks]
    clock = ticks()
    fits = fit_many(methods, [images(bank) for bank in banks], clock=lambda: next(clock))
    assert Toy.calls == [3, 1, 1, 1]
    assert [f.seconds for f in fits] == [6 / 3 + 6] * 3, "its own fit, and its share of what was in vain"
    assert [f.together for f in fits] == [1, 1, 1]
    assert [type(f.error) for f in fits] == [type(None), FitError, type(None)]
    assert (methods[0].total, methods[2].total) == (4, 8)


def test_methods_that_do_not_offer_it_are_fitted_one_by_one() -> None:
    methods, clock = made("dn2", 4), ticks()
    fits = fit_many(methods, [images(bank) for bank in BANKS], clock=lambda: next(clock))
    assert [(f.seconds, f.together) for f in fits] == [(6.0, 1)] * 4
    for method, bank in zip(methods, BANKS, strict=True):
        expected = scores(made("dn2", 1)[0], bank, TEST)
        np.testing.assert_array_equal(method.score(images(TEST)).image.numpy(), expected)


def test_methods_of_two_classes_are_refused() -> None:
    with pytest.raises(TypeError, match="one class"):
        fit_many([Toy(), *made("dn2", 1)], [images(BANKS[0])] * 2)
    with pytest.raises(ValueError, match="at_once"):
        fit_many([Toy()], [images(BANKS[0])], at_once=0)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("cap", {"epochs": 3}),
        ("plume", {"epochs": 2, "lr": 1e-3}),
        ("deep_svdd_features", {"epochs": 20}),
    ],
)
def test_together_equals_alone(name: str, params: dict[str, Any]) -> None:
    methods = made(name, len(BANKS), **params)
    fits = fit_many(methods, [images(bank) for bank in BANKS])
    assert [f.together for f in fits] == [4] * 4
    for seed, (method, bank) in enumerate(zip(methods, BANKS, strict=True)):
        alone = scores(made(name, 1, **params)[0], bank, TEST, seed=seed)
        given = method.score(images(TEST)).image.numpy()
        np.testing.assert_allclose(given, alone, rtol=1e-3, atol=1e-4)


def test_a_diverging_head_does_not_take_the_others_with_it() -> None:
    banks = [BANKS[0], BANKS[1] * 1e8]
    methods = made("deep_svdd_features", 2, epochs=3, lr=1e14)
    methods_alone = made("deep_svdd_features", 1, epochs=3, lr=1e14)
    fits = fit_many(methods, [images(bank) for bank in banks])
    assert isinstance(fits[1].error, FitError)
    assert fits[0].error is None
    expected = scores(methods_alone[0], banks[0], TEST)
    np.testing.assert_allclose(methods[0].score(images(TEST)).image.numpy(), expected, rtol=1e-4)


class Hungry(Method):
    """Finds no memory for more than two at once; notes which attempts' tensors are still alive."""

    attempts: ClassVar[list[weakref.ref[torch.Tensor]]] = []
    alive: ClassVar[list[int]] = []

    def fit(self, train: Images) -> None:
        self.fit_together([self], [train])

    @classmethod
    def fit_together(cls, methods: list[Any], trains: list[Images]) -> None:  # noqa: ARG003
        cls.alive.append(sum(attempt() is not None for attempt in cls.attempts))
        held = torch.zeros(len(methods))
        cls.attempts.append(weakref.ref(held))
        if len(methods) > 2:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    def score(self, test: Images) -> Scores:
        return Scores([0.0] * len(test))


def test_a_failed_attempts_tensors_are_gone_before_the_next() -> None:
    Hungry.attempts.clear()
    Hungry.alive.clear()
    fits = fit_many([Hungry() for _ in range(8)], [images(np.ones((2, 2)))] * 8)
    assert [fit.together for fit in fits] == [2] * 8
    assert Hungry.alive == [0] * 7


def test_with_a_lost_device_nobody_is_fitted_alone() -> None:
    class Lost(Toy):
        @classmethod
        def fit_together(cls, methods: list[Any], trains: list[Images]) -> None:  # noqa: ARG003
            cls.calls.append(len(methods))
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    Toy.calls.clear()
    with pytest.raises(RuntimeError, match="illegal memory access"):
        fit_many([Lost() for _ in range(4)], [images(np.ones((2, 2)))] * 4)
    assert Toy.calls == [4]
