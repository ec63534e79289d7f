"""Reading one config.json field by field: every value typed and bounded, every field that was read remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aggsim.errors import UnsupportedModelError

__all__ = ["MAX_COUNT", "MAX_LAYERS", "ConfigReader", "printable"]

MAX_COUNT = 10**7
"""No size, head count or vocabulary is larger; keeps every product of a few of them exact and printable."""
MAX_LAYERS = 2_000

NO_COST_FIELDS = frozenset(
    """
    _attn_implementation _commit_hash _name_or_path add_cross_attention architectures attention_dropout
    attn_implementation auto_map aux_loss_alpha bad_words_ids begin_suppress_tokens bos_token_id
    chunk_size_feed_forward cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample
    early_stopping embd_pdrop embedding_dropout encoder_no_repeat_ngram_size eos_token_id ep_size
    exponential_decay_length_penalty final_logit_softcapping finetuning_task forced_bos_token_id forced_eos_token_id
    hidden_dropout id2label ignore_index initializer_range is_decoder is_encoder_decoder label2id layer_norm_eps
    layer_norm_epsilon layernorm_epsilon length_penalty max_length min_length model_type name_or_path
    no_repeat_ngram_size norm_eps num_beam_groups num_beams num_return_sequences original_max_position_embeddings
    output_attentions output_hidden_states output_past output_router_logits output_scores pad_token_id
    partial_rotary_factor prefix pretraining_tp problem_type pruned_heads query_pre_attn_scalar remove_invalid_values
    repetition_penalty resid_pdrop residual_dropout return_dict return_dict_in_generate rms_norm_eps
    rope_interleave rope_parameters rope_scaling rope_theta rope_type rotary_dim routed_scaling_factor
    router_aux_loss_coef router_jitter_noise sep_token_id seq_aux suppress_tokens task_specific_params temperature
    tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p torchscript transformers_version typical_p
    unsloth_fixed unsloth_version use_bfloat16 use_cache
    """.split()  # noqa: SIM905  (a word list reads better than a hundred quoted lines)
)
"""Fields of any family that change no cost: training, token ids, generation, constants of norms and positions."""


class ConfigReader:
    """One JSON object of a config.json.

    Every read names the field at fault: UnsupportedModelError where it is missing, of the wrong type or out of
    bounds. JSON null counts as absent. Several names of one field are tried in order.
    """

    def __init__(self, config: Mapping[str, Any], architecture: str) -> None:
        self.architecture = architecture
        self._config = config
        self._seen: set[str] = set()

    def count(self, *names: str, default: int | None = None, at_most: int = MAX_COUNT) -> int:
        """A whole number from 1 to at_most; required unless there is a default."""
        name, value = self._find(names)
        if value is None:
            if default is None:
                raise self.refuse(name, "is missing")
            return default
        return self._whole(name, value, 1, at_most)

    def count_or_zero(self, *names: str, default: int = 0, at_most: int = MAX_COUNT) -> int:
        """A whole number from 0 to at_most; absent: the default."""
        name, value = self._find(names)
        return default if value is None else self._whole(name, value, 0, at_most)

    def small_number(self, name: str, default: float) -> float:
        """A number above 0 and below 1; absent: the default."""
        _, value = self._find((name,))
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise self.refuse(name, f"is {_shown(value)}, not a number above 0 and below 1")
        return float(value)

    def flag(self, *names: str, default: bool = False) -> bool:
        """true or false; absent: the default."""
        name, value = self._find(names)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refuse(name, f"is {_shown(value)}, not true or false")
        return value

    def word(self, name: str, allowed: Sequence[str], default: str | None = None) -> str:
        """One of the allowed words; required unless there is a default."""
        _, value = self._find((name,))
        if value is None and default is not None:
            return default
        if value is None:
            raise self.refuse(name, "is missing")
        if not isinstance(value, str) or value not in allowed:
            raise self.refuse(name, f"is {_shown(value)}; understood: {', '.join(allowed)}")
        return value

    def text(self, name: str) -> str | None:
        """A string of at most 4,096 characters, or None where absent."""
        _, value = self._find((name,))
        if value is not None and (not isinstance(value, str) or len(value) > 4096):
            raise self.refuse(name, f"is {_shown(value)}, not a short text")
        return value

    def words(self, name: str, allowed: Sequence[str], length: int | None = None) -> tuple[str, ...] | None:
        """A list with one allowed word per layer, or None where absent."""
        values = self._list(name, length)
        if values is None:
            return None
        for value in values:
            if not isinstance(value, str) or value not in allowed:
                raise self.refuse(name, f"holds {_shown(value)}; understood: {', '.join(allowed)}")
        return values

    def switches(self, name: str, length: int) -> tuple[bool, ...] | None:
        """A list with 0 or 1 per layer, or None where absent."""
        values = self._list(name, length)
        if values is None:
            return None
        return tuple(bool(self._whole(name, int(v) if isinstance(v, bool) else v, 0, 1)) for v in values)

    def indices(self, name: str, below: int) -> frozenset[int] | None:
        """A list of layer numbers, or None where absent."""
        values = self._list(name)
        return None if values is None else frozenset(self._whole(name, v, 0, below - 1) for v in values)

    def section(self, name: str) -> Mapping[str, Any] | None:
        """A JSON object inside, or None where absent."""
        _, value = self._find((name,))
        if value is not None and not isinstance(value, Mapping):
            raise self.refuse(name, f"is {_shown(value)}, not an object")
        return value

    def fixed(self, name: str, *allowed: object) -> None:
        """A field understood only at these values (or absent)."""
        _, value = self._find((name,))
        if value is not None and not any(
            value == a and isinstance(value, bool) == isinstance(a, bool) for a in allowed
        ):
            raise self.refuse(name, f"is {_shown(value)}; understood: {', '.join(map(repr, allowed))}")

    def holds_list(self, name: str) -> bool:
        """Whether the field is a list: some families write one number or one entry per layer under the same name."""
        return isinstance(self._config.get(name), list | tuple)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null; does not count as reading it."""
        return self._config.get(name) is not None

    def skip(self, *names: str) -> None:
        """Fields of this family that change no cost."""
        self._seen.update(names)

    def refuse(self, field: str, reason: str) -> UnsupportedModelError:
        """The error to raise about a field of this config."""
        return UnsupportedModelError(self.architecture, field, reason)

    def unread(self) -> tuple[str, ...]:
        """Fields nobody read that are neither null nor known to change no cost, sorted."""
        names = (
            k for k, v in self._config.items() if v is not None and k not in self._seen and k not in NO_COST_FIELDS
        )
        return tuple(sorted(n for n in map(printable, names) if not n.endswith(("_token_id", "_token_index"))))

    def _find(self, names: Sequence[str]) -> tuple[str, Any]:
        self._seen.update(names)
        for name in names:
            if (value := self._config.get(name)) is not None:
                return name, value
        return names[0], None

    def _list(self, name: str, length: int | None = None) -> tuple[Any, ...] | None:
        _, value = self._find((name,))
        if value is None:
            return None
        if not isinstance(value, list | tuple) or len(value) > MAX_LAYERS:
            raise self.refuse(name, f"is {_shown(value)}, not a list with an entry per layer")
        if length is not None and len(value) != length:
            raise self.refuse(name, f"has {len(value)} entries for {length} layers")
        return tuple(value)

    def _whole(self, name: str, value: object, low: int, high: int) -> int:
        # JSON writers turn 8 into 8.0 now and then; true, "8", 8.5 and NaN are no counts.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.refuse(name, f"is {_shown(value)}, not a whole number from {low} to {high:,}")
        return value


def printable(text: str, limit: int = 60) -> str:
    """A name out of a file, safe to print: no control characters or lone surrogates, cut at the limit."""
    clean = "".join(c if c.isprintable() else "?" for c in text[:limit])
    return clean + "…" if len(text) > limit else clean


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**18:
        return "an enormous number"  # printing thousands of digits is slow, and refused by Python
    return f'"{printable(value)}"' if isinstance(value, str) else repr(value)
