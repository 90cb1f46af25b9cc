"""What a module is for, by the class of torch that it is made of, or else by its name."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

# By the files of torch.nn.modules.
FILES: Mapping[str, str] = MappingProxyType(
    {
        "linear": "linear",
        "conv": "conv",
        "normalization": "norm",
        "batchnorm": "norm",
        "instancenorm": "norm",
        "pooling": "pooling",
        "sparse": "embedding",
        "activation": "activation",
        "dropout": "dropout",
        "rnn": "recurrent",
        "transformer": "attention",
        "container": "container",
    }
)
CLASSES: Mapping[type[nn.Module], str] = MappingProxyType(
    {nn.MultiheadAttention: "attention", nn.Identity: "other"}
)
# By words in the names of other classes, the first that fits.
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "attention": "attention",
        "attn": "attention",
        "gate": "gating",
        "gating": "gating",
        "norm": "norm",
        "pool": "pooling",
        "embed": "embedding",
        "conv": "conv",
        "linear": "linear",
    }
)


def category(module: nn.Module) -> str:
    """Return a value of one of the tables; "composite" for other modules that hold some, "other" for the rest."""
    for kind in type(module).__mro__:
        if kind in CLASSES:
            return CLASSES[kind]
        path, _, file = kind.__module__.rpartition(".")
        if path == "torch.nn.modules" and file in FILES:
            return FILES[file]
    name = type(module).__name__.lower()
    found = next((value for word, value in WORDS.items() if word in name), None)
    return found or ("composite" if any(module.children()) else "other")
