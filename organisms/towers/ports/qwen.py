"""Texts by the causal language models of the Qwen family."""

from collections.abc import Mapping
from os import PathLike
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from organisms.towers.ports import texts
from organisms.towers.ports.pooling import Encoded
from organisms.towers.ports.source import Source, library
from organisms.towers.ports.torch_port import TorchPort


class QwenPort(TorchPort):
    """Qwen2, Qwen2.5 and Qwen3, Instruct or not: a text to the last hidden states of its tokens [T, D], pooled to [D].

    Parameters
    ----------
    name, model_id
        As `TorchPort` takes them.
    pool
        "last": the last token, which has seen the whole text; "mean", "max"; None: all tokens.
    max_length
        Tokens that a text is cut off at; None: a text longer than the model reads is refused.
    instruct
        Whether a text is put as a user's message, by the chat template of the tokenizer.
    **options
        As `TorchPort` takes them.
    """

    POOLS: ClassVar[tuple[str, ...]] = ("last", "mean", "max")
    CLASSES: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "qwen2": "Qwen2Model",
            "qwen2_moe": "Qwen2MoeModel",
            "qwen3": "Qwen3Model",
            "qwen3_moe": "Qwen3MoeModel",
        }
    )

    def __init__(
        self,
        name: str,
        model_id: str | PathLike[str],
        *,
        pool: str | None = "last",
        max_length: int | None = None,
        instruct: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name, model_id, pool=pool, **options)
        self.max_length, self.instruct = texts.checked_length(name, max_length), instruct

    def read(self, source: Source) -> tuple[nn.Module, Any]:
        """Return the model without its head, and the tokenizer."""
        transformers = library("transformers")
        config = source.config(transformers, self.CLASSES)
        words = texts.tokenizer(source, transformers, config.vocab_size)
        if self.instruct and not words.chat_template:
            raise ValueError(
                f"port {self.name!r} has instruct=True, but the tokenizer of {source.place} has no chat template"
            )
        kind = self.CLASSES[config.model_type]
        return source.weights(transformers, kind, config=config, dtype=self.dtype), words

    def preprocess(self, raw: Any) -> dict[str, Tensor]:
        """Return the tokens of one text or a batch of them.

        Raises
        ------
        TypeError
            If something is no text.
        ValueError
            If there is no text, or one has no tokens or too many.
        """
        self.require_loaded()
        batch = texts.checked(self.name, raw)
        if self.instruct:
            batch = [
                self.processor.apply_chat_template(
                    [{"role": "user", "content": each}], tokenize=False, add_generation_prompt=True
                )
                for each in batch
            ]
        longest = self.model.config.max_position_embeddings
        found = texts.tokens(self.name, batch, self.processor, longest, self.max_length)
        return {key: each.to(self.device) for key, each in found.items()}

    def encode(self, prepared: dict[str, Tensor]) -> Encoded:
        """Return the last hidden states of tokens."""
        self.require_loaded()
        hidden = self.model(**prepared, use_cache=False).last_hidden_state
        return Encoded(hidden, prepared["attention_mask"].bool())
