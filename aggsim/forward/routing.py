"""Rows of a mixture of experts under an even routing, on rank 0: it holds the first experts and so gets the most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Whole numbers, of requests and tokens; or numbers in general."""
COLD, HOT, GROUPED = 0, 1, 2
"""Classes of experts: run one by one, with and without the extra row, or all in one grouped matmul."""


class ExpertRows:
    """Routed rows of N batches with the given tokens a replica. Shapes (N,)."""

    NUM_ARGS = 6

    def __init__(self, tokens: Array, experts: int, local: int, ep: int, top_k: int, slices: int, copies: int) -> None:
        """experts in all and on this rank; slices and copies of the tokens before they are routed."""
        sent = -(-(tokens * copies) // slices) * top_k
        base, rest = np.divmod(sent, experts)
        hot = np.minimum(rest, local)  # experts with one row a source more than the others
        own = local * base + hot
        idle = (base == 0) & (hot < local)
        self._base, self._hot, self._local, self._ep = base, hot, local, ep
        self._classes: dict[tuple[int, ...], dict[str, Array]] = {}
        self._rows: dict[str, Array] = {
            "rows_sent": sent,
            "rows_received": ep * own,
            "rows_remote": np.maximum(sent - own, (ep - 1) * own),
            "any_expert_idle": idle,
            "rows_shuffled": idle * ep * own,
        }

    def get(self, kind: str, group: tuple[int, ...]) -> Array:
        """One count, of all experts of the rank or of a class of them (see _class)."""
        if not group:
            return self._rows[kind]
        if group not in self._classes:
            self._classes[group] = self._class(*group)
        return self._classes[group][kind]

    def _class(self, multiple: int, alone: int, wanted: int) -> dict[str, Array]:
        """Experts of one class and their rows, padded to a multiple; alone: none are grouped."""
        ep, hot, base = self._ep, self._hot, self._base
        if multiple == 1 and not alone and wanted == GROUPED:  # everything, nothing padded
            hit = np.where(base > 0, self._local, hot)
            return {"experts": hit, "launches": np.minimum(hit, 1), "rows_padded": self._rows["rows_received"]}
        zero = np.zeros_like(base)
        count, padded, short, short_rows, filled = zero, zero, zero, zero, zero
        for is_hot, number in ((1, hot), (0, np.where(base > 0, self._local - hot, 0))):
            each = ep * (base + is_hot)
            full = -(-each // multiple) * multiple
            grouped = (each == full) & (not alone)
            chosen = np.where(grouped if wanted == GROUPED else ~grouped & (wanted == is_hot), number, 0)
            lacking = np.where(each < full, chosen, 0)
            count, padded = count + chosen, padded + chosen * full
            short, short_rows, filled = short + lacking, short_rows + lacking * each, filled + lacking * full
        return {
            "experts": count,
            "launches": np.minimum(count, 1) if wanted == GROUPED else count,
            "rows_padded": padded,
            "launches_short": short,
            "rows_short": short_rows,
            "rows_filled": filled,
        }
