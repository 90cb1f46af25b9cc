"""What a model answered, as a file: an array, or a table with the names of the classes."""

import csv
import io
from pathlib import Path

import numpy as np

from runs.errors import ConfigError
from runs.models.signature import Signature

SUFFIXES = (".npy", ".csv")


def check_suffix(out: Path) -> None:
    """Refuse a file of no kind that is written here.

    Raises
    ------
    ConfigError
        If its name does not end in one of `SUFFIXES`.
    """
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"--out must be a file that ends in {' or '.join(SUFFIXES)}, not {out}")


def check_holds(out: Path, signature: Signature) -> None:
    """Refuse a table for answers that are no rows.

    Raises
    ------
    ConfigError
        If the model answers at each token.
    """
    if out.suffix == ".csv" and signature.per_position:
        raise ConfigError(
            f"--out must end in .npy, not {out}: the model answers at each token, [N, S, {signature.outputs}]"
        )


def encoded(outputs: np.ndarray, signature: Signature, suffix: str) -> bytes:
    """Return the content of a file.

    In a table an example is a row: the name of its class (its number, where the task has no names), and its outputs in
    columns of the names of the classes; or its values.

    Parameters
    ----------
    outputs
        float32 [N, outputs], or [N, S, outputs] for an array.
    signature
        Of the model.
    suffix
        One of `SUFFIXES`.
    """
    if suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, outputs, allow_pickle=False)
        return buffer.getvalue()
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    numbers = [[str(each) for each in row] for row in outputs]
    if signature.kind == "class":
        names = signature.classes or tuple(map(str, range(signature.outputs)))
        rows.writerow(["class", *(f"logit of {name}" for name in names)])
        rows.writerows(
            [names[place], *row] for place, row in zip(outputs.argmax(1).tolist(), numbers, strict=True)
        )
    else:
        rows.writerow([f"value_{place}" for place in range(signature.outputs)])
        rows.writerows(numbers)
    return text.getvalue().encode()
