"""Compile a Triton kernel for a GPU that need not be there: the interpreter accepts what the compiler does not."""

import inspect
from collections.abc import Mapping
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

HOPPER = GPUTarget("cuda", 90, 32)
SHARED_MEMORY = 227 * 1024  # bytes that a program may have there


def compiled(kernel: Any, arguments: Mapping[str, Any], warps: int, stages: int) -> CompiledKernel:
    """Compile a kernel whose arguments are types, such as "*fp16" and "i32", or the values of constants."""
    signature, constants = {}, {}
    for name in inspect.signature(kernel.fn).parameters:
        given = arguments[name]
        signature[name] = given if isinstance(given, str) else "constexpr"
        if not isinstance(given, str):
            constants[name] = given
    source = ASTSource(kernel, signature, constants)
    return triton.compile(source, target=HOPPER, options={"num_warps": warps, "num_stages": stages})
