"""Value objects ↔ compact JSON for the store: lists in field order, bit-exact floats, repeated objects once.

Not a form for people or scripts (report/json_form.py is): field names are left out, so only the
types that wrote it can read it. `signature` puts that shape into a cache key: a changed type never meets an old value.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["pack", "signature", "unpack"]

_T = TypeVar("_T")
_Table = list[Any]
_Decode = Callable[[Any, _Table], Any]
_PLAIN = (type(None), bool, int, float, str)


def pack(value: Any, *, share: type | None = None) -> list[Any]:
    """JSON-ready [shared objects, value]; equal instances of `share` (hashable) are written once.

    value: frozen dataclasses of numbers, strings, None, dicts of plain values, tuples and further dataclasses.
    """
    table: _Table = []
    seen: dict[Any, int] = {}

    def encode(item: Any) -> Any:
        kind: Any = type(item)
        if kind in _PLAIN:
            return item
        if kind is tuple:
            return [encode(part) for part in item]
        if kind is dict:
            return item
        if not dataclasses.is_dataclass(item):
            raise TypeError(f"cannot pack {kind.__name__}")
        if kind is share and item in seen:
            return seen[item]
        body = [encode(getattr(item, name)) for name in _names(kind)]
        if kind is not share:
            return body
        seen[item] = len(table)
        table.append(body)
        return seen[item]

    packed = encode(value)
    return [table, packed]


def unpack(kind: type[_T], packed: list[Any], *, share: type | None = None) -> _T:
    """The value that pack() was given; kind and share as then."""
    bodies, value = packed
    decode_shared = _dataclass_decoder(share, None) if share else None
    table = [decode_shared(body, []) for body in bodies] if decode_shared else []
    hint: Any = kind
    decode = _decoder(hint, share)
    return typing.cast(_T, value if decode is None else decode(value, table))


@functools.cache
def signature(kind: Any) -> str:
    """Names and types of everything inside `kind`, as text: changes exactly when packed values would."""
    lines: dict[str, str] = {}

    def visit(hint: Any) -> None:
        for argument in typing.get_args(hint):
            visit(argument)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint.__qualname__ not in lines:
            hints = typing.get_type_hints(hint)
            lines[hint.__qualname__] = ",".join(f"{name}:{hints[name]}" for name in _names(hint))
            for name in _names(hint):
                visit(hints[name])

    visit(kind)
    return ";".join(f"{name}({fields})" for name, fields in sorted(lines.items()))


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _decoder(hint: Any, share: type | None) -> _Decode | None:
    """How to read a value of this type back; None: as JSON gave it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN or origin is typing.Literal or origin is dict:
        return None
    if hint is share:
        return lambda data, table: table[data]
    kind: Any = hint
    if dataclasses.is_dataclass(hint):
        return _dataclass_decoder(kind, share)
    if origin in (typing.Union, types.UnionType):
        inner = {_decoder(argument, share) for argument in arguments if argument is not type(None)}
        if len(inner) == 1:
            return _optional(inner.pop())
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _tuple(_decoder(arguments[0], share))
    if origin is tuple and arguments and Ellipsis not in arguments:
        return _fixed_tuple([_decoder(argument, share) for argument in arguments])
    raise TypeError(f"cannot unpack {hint}")


def _optional(decode: _Decode | None) -> _Decode | None:
    return decode and (lambda data, table: None if data is None else decode(data, table))


def _tuple(decode: _Decode | None) -> _Decode:
    if decode is None:
        return lambda data, _: tuple(data)
    return lambda data, table: tuple([decode(item, table) for item in data])


def _fixed_tuple(decoders: list[_Decode | None]) -> _Decode:
    return lambda data, table: tuple(
        item if decode is None else decode(item, table) for decode, item in zip(decoders, data, strict=True)
    )


@functools.cache
def _dataclass_decoder(kind: Any, share: type | None) -> _Decode:
    names, hints = _names(kind), typing.get_type_hints(kind)
    nested = [(i, decode) for i, name in enumerate(names) if (decode := _decoder(hints[name], share)) is not None]

    def decode_one(data: Any, table: _Table) -> Any:
        values = list(data)
        for i, decode in nested:
            values[i] = decode(values[i], table)
        made = object.__new__(kind)  # what was packed had been checked: not again, which is twice as fast
        for name, value in zip(names, values, strict=True):
            object.__setattr__(made, name, value)
        return made

    return decode_one
