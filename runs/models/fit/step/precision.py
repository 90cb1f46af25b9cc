"""Mixed precision: autocast to bfloat16 or float16, the latter with a scaler of gradients.

Parameters, losses, gradients and moments stay in float32, and a model is evaluated in it. Both work on the CPU, where
they save memory and, without instructions for them, no time; float16 has them on few.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, amp_dtype: str) -> AbstractContextManager[Any]:
    """Return the context of forward passes: autocast, or nothing for ``none``."""
    if amp_dtype == "none":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[amp_dtype])


def scaler(device: torch.device, amp_dtype: str) -> torch.amp.GradScaler:
    """Return what scales losses, for float16 alone: else it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=amp_dtype == "fp16")
