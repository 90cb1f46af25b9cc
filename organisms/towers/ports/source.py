"""Where a port's model comes from, and how the libraries that read it are asked, so that what is wrong is one sentence.

The libraries are the extra ``ports``; each is imported when a port is loaded, and never before.
"""

import importlib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")  # any other text is a path


@dataclass(frozen=True, slots=True)
class Source:
    """A folder, or a name on the hub, that a port reads."""

    port: str
    """Name of the port, for messages."""
    place: str
    """The folder, or the name."""
    local: bool
    """Whether it is a folder, for which no network is tried."""
    revision: str | None = None
    """A commit, tag or branch on the hub."""

    @classmethod
    def of(cls, port: str, model_id: str | PathLike[str], revision: str | None = None) -> Self:
        """Return the source that a model_id names: a folder if there is one, else a name on the hub.

        Parameters
        ----------
        port
            Name of the port.
        model_id
            A path, or a text that is one or a name on the hub.
        revision
            A commit, tag or branch on the hub.

        Raises
        ------
        FileNotFoundError
            If it can be a path alone, and there is no such folder.
        """
        text = str(model_id)
        folder = Path(text).expanduser()
        if folder.is_dir():
            return cls(port, str(folder), True)
        if isinstance(model_id, str) and HUB_NAME.fullmatch(text) and not folder.exists():
            return cls(port, text, False, revision)
        raise FileNotFoundError(
            f"model_id of port {port!r} must be a folder that save_pretrained has written, or a name on the hub such "
            f"as owner/model, but there is no folder {text!r}"
        )

    def options(self) -> dict[str, Any]:
        """Return the arguments of every ``from_pretrained``."""
        if self.local:
            return {"local_files_only": True}
        return {} if self.revision is None else {"revision": self.revision}

    def check_kind(self, kind: object, kinds: Collection[str]) -> None:
        """Refuse a model of another kind.

        Raises
        ------
        ValueError
            If the kind is not among the kinds.
        """
        if kind not in kinds:
            raise ValueError(
                f"port {self.port!r} reads models of the kinds {', '.join(kinds)}, but {self.place} holds a {kind!r}"
            )

    def config(self, transformers: Any, kinds: Collection[str]) -> Any:
        """Return the configuration of a model of transformers.

        Raises
        ------
        ValueError
            If it is of no such kind.
        OSError
            If it cannot be read.
        """
        with self.reading():
            config = transformers.AutoConfig.from_pretrained(
                self.place, trust_remote_code=False, **self.options()
            )
        self.check_kind(config.model_type, kinds)
        return config

    def weights(self, library: Any, kind: str, **options: Any) -> nn.Module:
        """Return a model whose weights have all been read; torch's own generator stays as it is.

        Parameters
        ----------
        library
            That of the model.
        kind
            Name of its class.
        **options
            Those of its ``from_pretrained``.

        Raises
        ------
        ValueError
            If weights are missing or of other shapes, which would be random then.
        OSError
            If they cannot be read.
        """
        with self.reading(library), torch.random.fork_rng(devices=[]):
            model, report = getattr(library, kind).from_pretrained(
                self.place,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **self.options(),
                **options,
            )
        wrong = [each[0] if isinstance(each, tuple) else each for each in report["mismatched_keys"]]
        wrong = sorted([*report["missing_keys"], *wrong])
        if wrong:
            raise ValueError(
                f"port {self.port!r} needs weights of a {kind} that {self.place} lacks or has in another shape: "
                f"{', '.join(wrong[:3])}{' and others' if len(wrong) > 3 else ''}"
            )
        return model

    @contextmanager
    def reading(self, library: Any = None) -> Iterator[None]:
        """Make whatever a library complains about while it reads one sentence; of a folder it reports nothing else.

        Raises
        ------
        OSError
            If it complains.
        """
        try:
            if self.local and library is not None:
                with _quiet(library.utils.logging):
                    yield
            else:
                yield
        except Exception as error:  # of several libraries, for any files
            first, *_ = str(error).strip().splitlines() or [type(error).__name__]
            raise OSError(f"port {self.port!r} cannot read {self.place}: {first}") from error


def library(name: str) -> Any:
    """Return a library of the extra ``ports``.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed; the message has the command that does it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"ports need {name}, which is not installed: pip install 'plasmodia[ports]'"
        ) from None


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Let a library show no progress and report nothing but errors: what matters in its reports is an error here."""
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
