"""What runs in one forward pass, as objects (a few groups) and as columns (very many shapes at once)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestGroup:
    """num_requests equal requests of one pass, counted over the whole deployment.

    A data-parallel replica sees ceil(num_requests / dp) of them.
    """

    num_requests: int
    query_len: int
    """New tokens of each request in this pass, ≥ 1."""
    seq_len: int
    """Tokens of context of each request after this pass, ≥ query_len."""
    is_decode: bool

    def __post_init__(self) -> None:
        if self.num_requests < 1 or self.query_len < 1 or self.seq_len < self.query_len:
            raise ValueError(f"not a request group: {self.num_requests} × ({self.query_len}, {self.seq_len})")


Batch = tuple[RequestGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """N batches as columns: every array has shape (N, G), G groups a batch; a group with 0 requests is absent."""

    num_requests: IntArray
    query_len: IntArray
    seq_len: IntArray
    is_decode: BoolArray

    def __len__(self) -> int:
        return int(self.num_requests.shape[0])

    def rows(self) -> Iterator[Batch]:
        """The batches as objects, for whoever prices one at a time."""
        columns = (self.num_requests, self.query_len, self.seq_len, self.is_decode)
        for num, query, seq, decode in zip(*(column.tolist() for column in columns), strict=True):
            yield tuple(
                RequestGroup(num_requests=n, query_len=q, seq_len=s, is_decode=d)
                for n, q, s, d in zip(num, query, seq, decode, strict=True)
                if n
            )

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> Batches:
        """Columns of a sequence of batches."""
        rows = [tuple(batch) for batch in batches]
        width = max((len(row) for row in rows), default=1) or 1
        shape = (len(rows), width)
        num, query, seq = (np.zeros(shape, np.int64) for _ in range(3))
        decode = np.zeros(shape, np.bool_)
        for i, row in enumerate(rows):
            for j, group in enumerate(row):
                num[i, j], query[i, j], seq[i, j] = group.num_requests, group.query_len, group.seq_len
                decode[i, j] = group.is_decode
        return cls(num_requests=num, query_len=query, seq_len=seq, is_decode=decode)

    @classmethod
    def uniform(
        cls,
        num_requests: Sequence[int] | IntArray,
        query_len: int | Sequence[int] | IntArray,
        seq_len: int | Sequence[int] | IntArray,
        *,
        is_decode: bool | Sequence[bool] | BoolArray,
    ) -> Batches:
        """N batches of one group each; scalars are broadcast over num_requests."""
        num = np.asarray(num_requests, np.int64).reshape(-1, 1)
        columns = [np.broadcast_to(np.asarray(c, np.int64).reshape(-1, 1), num.shape) for c in (query_len, seq_len)]
        decode = np.broadcast_to(np.asarray(is_decode, np.bool_).reshape(-1, 1), num.shape)
        return cls(num_requests=num, query_len=columns[0], seq_len=columns[1], is_decode=decode)
