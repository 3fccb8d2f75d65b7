"""What a GPU's errors mean: a table of messages as torch and its libraries write them."""

from __future__ import annotations

import pytest
import torch

from bench.core.devicefaults import by_its_code, is_device_lost, is_out_of_memory, no_memory
from bench.core.errors import FitError

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of …"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at …"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuSOLVER error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you …"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 400000000000 bytes."),
    MemoryError(),
    MemoryError("Unable to allocate 298. GiB for an array with shape (200000, 200000)"),
]
LOST = [
    RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously …"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: misaligned address"),
    RuntimeError("CUDA error: the launch timed out and was terminated"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(…)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_MAPPING_ERROR"),
    RuntimeError("HIP error: the operation cannot be performed in the present state"),
]
NEITHER = [
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0"),
    RuntimeError("Expected all tensors to be on the same device, but found at least two devices"),
    RuntimeError("CUDA error: no kernel image is available for execution on the device"),
    RuntimeError("CUDA error: invalid device ordinal"),
    ValueError("CUDA error: device-side assert triggered"),
    FitError("PLUME: the loss became NaN or infinite"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_memory_ran_out(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert no_memory(type(error).__name__, str(error))
    assert not is_device_lost(error)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_the_process_has_lost_its_device(error: Exception) -> None:
    assert is_device_lost(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("error", NEITHER, ids=str)
def test_an_error_like_any_other(error: BaseException) -> None:
    assert not is_device_lost(error)
    assert not is_out_of_memory(error)


def test_an_error_that_another_led_to_counts() -> None:
    error = FitError("it cannot be trained")
    error.__cause__ = LOST[0]
    assert is_device_lost(error)
    error.__cause__ = FULL[0]
    assert not is_device_lost(error)


def test_asserts_are_the_codes_and_ecc_errors_the_devices() -> None:
    assert [by_its_code(str(error)) for error in LOST[:4]] == [True, True, False, False]
