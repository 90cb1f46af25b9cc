"""The door for a user's arrays: they become arrays that torch takes, once and without loss, or one sentence."""

from typing import Any

import numpy as np

EXACT = 2**24  # whole numbers up to here are float32 numbers
REFUSED = {
    "U": "text",
    "S": "text",
    "T": "text",
    "M": "dates",
    "m": "durations",
    "c": "complex numbers",
    "V": "records",
}


def floats(name: str, given: object) -> np.ndarray:
    """Return real numbers as float32; an array of these is returned as it is.

    Raises
    ------
    ValueError
        If they are no numbers, or the conversion would round one of them; `name` begins the sentence.
    """
    array = numeric(name, given)
    if array.dtype == np.float32:
        return array
    with np.errstate(over="ignore"):
        converted = array.astype(np.float32)
    whole = array.dtype.kind != "f"
    rounded = np.abs(array.astype(np.float64)) > EXACT if whole else (converted != array) & ~np.isnan(array)
    if rounded.any():
        raise ValueError(
            f"{name} must be float32, as networks compute, and {np.count_nonzero(rounded):,} of its {array.size:,} "
            f"{array.dtype} numbers would be rounded; use .astype(np.float32)"
        )
    return converted


def symbols(name: str, given: object) -> np.ndarray:
    """Return whole numbers as an array of integers; one of the machine's own byte order is returned as it is.

    Raises
    ------
    ValueError
        If they are not whole numbers; `name` begins the sentence.
    """
    array = numeric(name, given)
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "f":
        _refuse_missing(name, np.isnan(array))
        wide = array.astype(np.float64)
        broken = (wide != np.floor(wide)) | (np.abs(wide) >= 2**63)
        if broken.any():
            raise ValueError(
                f"{name} must be whole numbers, but {np.count_nonzero(broken):,} of its {array.size:,} "
                f"{array.dtype} numbers are not, the first of them {array[broken][0]}; number the classes from 0"
            )
    return array.astype(np.int64)


def numeric(name: str, given: object) -> np.ndarray:
    """Return integers, truth values or real numbers in the machine's byte order.

    Lists, tensors, data frames and their columns are read; an array that is right already is returned as it is.

    Raises
    ------
    ValueError
        If there is something else in it, or something is missing; `name` begins the sentence.
    """
    try:
        array = np.asanyarray(_plain(given))
    except Exception as error:  # whatever __array__ of somebody's class raises
        text = " ".join(str(error).split())
        raise ValueError(
            f"{name} must be an array of numbers, but NumPy cannot read this {type(given).__name__}: {text}"
        ) from error
    if isinstance(array, np.ma.MaskedArray):
        _refuse_missing(name, np.ma.getmaskarray(array))
        array = array.data
    if array.dtype.kind == "O":
        array = _unboxed(name, array, type(given).__name__)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be an array of numbers, but holds {REFUSED.get(array.dtype.kind, str(array.dtype))}"
            f"{'; number them: np.unique(values, return_inverse=True)[1]' if array.dtype.kind in 'UST' else ''}"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _plain(given: Any) -> Any:
    """Take tensors out of torch, those in lists too."""
    if isinstance(given, list | tuple):
        return [_plain(each) for each in given]
    if not callable(getattr(given, "detach", None)):
        return given
    tensor = given.detach().cpu()
    # NumPy has no bfloat16, whose numbers float32 holds.
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _unboxed(name: str, array: np.ndarray, kind: str) -> np.ndarray:
    """Return numbers that lie in an array as Python objects, as pandas' own types give them."""
    if not array.ndim:
        raise ValueError(
            f"{name} must be an array of numbers, not {'None' if kind == 'NoneType' else f'a {kind}'}"
        )
    missing = np.array(
        [each is None or each != each or str(each) == "<NA>" for each in array.flat], dtype=bool
    )
    _refuse_missing(name, missing.reshape(array.shape))
    values = np.array(array.tolist())
    if values.dtype.kind == "O":
        raise ValueError(f"{name} must be an array of numbers, but holds a {type(array.flat[0]).__name__}")
    return values


def _refuse_missing(name: str, missing: np.ndarray) -> None:
    if missing.any():
        place = [int(index) for index in np.argwhere(missing)[0]]
        raise ValueError(
            f"{name} must be an array of numbers, but {np.count_nonzero(missing):,} of {missing.size:,} are missing, "
            f"the first at {place}; fill them in, or leave out their examples"
        )
