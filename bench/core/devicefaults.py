"""What a GPU's errors mean, by their texts: memory ran out, or the process has lost its device.

Libraries raise most of them as a plain ``RuntimeError``. CUDA has two sorts: those after which a process can
go on (no memory), and those after which every further call fails, whatever it asks for.
"""

from __future__ import annotations

from bench.core.errors import kind_of, said

#: Classes of errors that say that memory ran out: of Python, and of torch.
_NO_MEMORY_KINDS = ("MemoryError", "OutOfMemoryError")
#: The same in texts, in lower case.
_NO_MEMORY = (
    "out of memory",  # CUDA, HIP, XPU, MPS: by torch's allocator, or as "CUDA error: out of memory"
    "status_alloc_failed",  # cuBLAS, cuSOLVER, cuSPARSE, cuDNN, hipBLAS
    "allocation_failed",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
    "cufft_alloc_failed",
    "unable to find an engine to execute this computation",  # cuDNN without room for any algorithm
    "unable to find a valid cudnn algorithm",
    "can't allocate memory", "cannot allocate memory", "not enough memory", "std::bad_alloc",
    "failed to allocate", "insufficient memory", "memoryallocation",
)  # fmt: skip
#: What follows an error after which the process can do nothing more on its device, in lower case.
_LOST = (
    "cuda error:", "hip error:", "device-side assert", "illegal memory access", "ecc error",
    "unspecified launch failure", "status_execution_failed", "status_internal_error", "status_mapping_error",
    "status_not_initialized", "cuda driver error:", "nvrtc_error", "ur_result_error_device_lost",
)  # fmt: skip
#: CUDA errors by what was asked, after which the process can go on.
_HARMLESS = ("invalid device ordinal", "operation not supported", "no kernel image", "peer access")
#: Errors by code that runs on a device, whichever device it is.
_BY_CODE = ("device-side assert", "illegal memory access", "misaligned address", "illegal instruction")


def no_memory(kind: str, reason: str) -> bool:
    """Return whether an error of this class and text says that memory ran out."""
    return kind in _NO_MEMORY_KINDS or any(words in reason.lower() for words in _NO_MEMORY)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, of the device or the host, by any of its names."""
    kinds = {cls.__name__ for cls in type(error).__mro__}
    return any(no_memory(kind, "") for kind in kinds) or no_memory(kind_of(error), said(error))


def is_device_lost(error: BaseException | None) -> bool:
    """Return whether this process can use its device no more: of an error, or one that led to it."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, RuntimeError) and not is_out_of_memory(error) and lost_device(said(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def lost_device(reason: str) -> bool:
    """Return whether an error's text is of those after which a process can use its device no more."""
    text = reason.lower()
    return any(words in text for words in _LOST) and not any(words in text for words in _HARMLESS)


def by_its_code(reason: str) -> bool:
    """Return whether the code that ran, not the device, is to blame for the loss of the device."""
    return any(words in reason.lower() for words in _BY_CODE)
