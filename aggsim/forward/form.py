"""Linear forms over batch features: how operators state FLOPs and bytes, so that pricing is linear algebra.

    2 * k * n * TOKENS + k * n        # a Form
    features.evaluate(features, batches, dp) @ compile_forms(forms, features)   # values of N batches

A Feature is a number of one data-parallel replica's batch, possibly a nonlinear one (whole KV blocks, experts hit),
evaluated once for many batches; everything else is a product with constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np

from aggsim.forward.batch import FloatArray

Phase = Literal["all", "prefill", "decode"]


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """One number of a replica's batch: `kind` says which (see forward.features), `args` its parameters.

    Made by feature_of only, which hands out one object per feature: they compare and hash by identity.
    """

    kind: str
    args: tuple[int, ...] = ()
    phase: Phase = "all"


@cache
def feature_of(kind: str, args: tuple[int, ...] = (), phase: Phase = "all") -> Feature:
    """The one Feature of this kind, arguments and phase."""
    return Feature(kind, args, phase)


ONE = feature_of("one")


@dataclass(frozen=True, slots=True)
class Form:
    """Σ coefficient · feature. Immutable; supports +, −, and multiplication by a number."""

    terms: dict[Feature, float] = field(default_factory=dict)

    def __add__(self, other: Form | float) -> Form:
        terms = self.terms.copy()
        if isinstance(other, Form):
            for feature, coefficient in other.terms.items():
                terms[feature] = terms.get(feature, 0.0) + coefficient
        elif other:
            terms[ONE] = terms.get(ONE, 0.0) + other
        return Form(terms)

    __radd__ = __add__

    def __sub__(self, other: Form | float) -> Form:
        return self + other * -1.0

    def __mul__(self, factor: float) -> Form:
        return Form({feature: coefficient * factor for feature, coefficient in self.terms.items()})

    __rmul__ = __mul__

    @property
    def is_zero(self) -> bool:
        return not any(self.terms.values())


def weighted_sum(parts: Iterable[tuple[Form, float]], rest: float = 0.0) -> Form:
    """Σ form · weight + rest, without a form for every step on the way."""
    terms: dict[Feature, float] = {}
    for form, weight in parts:
        for wanted, coefficient in form.terms.items():
            terms[wanted] = terms.get(wanted, 0.0) + coefficient * weight
    if rest:
        terms[ONE] = terms.get(ONE, 0.0) + rest
    return Form(terms)


def feature(kind: str, *args: int, phase: Phase = "all") -> Form:
    """The form that is one feature."""
    return Form({feature_of(kind, args, phase): 1.0})


def constant(value: float) -> Form:
    """The form that does not depend on the batch."""
    return Form({ONE: float(value)}) if value else Form()


ZERO = Form()
ONCE = constant(1.0)
TOKENS = feature("tokens")
"""New tokens of the replica in this pass."""
REQUESTS = feature("requests")
CONTEXT = feature("context")
"""Σ seq_len over the requests."""


def kv_blocks(block_tokens: int, max_tokens: int = 0) -> Form:
    """KV blocks of the replica's contexts, each with a token to come; max_tokens > 0 caps a context (window)."""
    return feature("kv_blocks", block_tokens, max_tokens) if max_tokens else feature("kv_blocks", block_tokens)


def compile_forms(forms: Iterable[Form], features: Sequence[Feature]) -> FloatArray:
    """Coefficient matrix of shape (F, len(forms)) for features in the given order."""
    forms = list(forms)
    index = {wanted: i for i, wanted in enumerate(features)}
    matrix = np.zeros((len(features), len(forms)))
    for j, form in enumerate(forms):
        for wanted, coefficient in form.terms.items():
            matrix[index[wanted], j] = coefficient
    return matrix


def features_of(forms: Iterable[Form]) -> tuple[Feature, ...]:
    """Every feature the forms use, in first-use order."""
    return tuple(dict.fromkeys(wanted for form in forms for wanted in form.terms))
