"""The stored form: exact, compact, and bound to the shape of its types."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, make_dataclass

import pytest

from aggsim import codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    size: float
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    leaves: tuple[Leaf, ...]
    best: Leaf | None
    rates: tuple[float, ...]
    note: str | None = None


TREE = Tree(leaves=(Leaf(size=0.1, name="a"), Leaf(size=math.inf, name="b")), best=None, rates=(1e-300, -0.5))


def through_json(tree: Tree, share: type | None = None) -> Tree:
    return codec.unpack(Tree, json.loads(json.dumps(codec.pack(tree, share=share))), share=share)


@pytest.mark.parametrize("share", [None, Leaf])
def test_every_bit_comes_back(share: type | None) -> None:
    assert through_json(TREE, share) == TREE
    grown = Tree(leaves=TREE.leaves, best=TREE.leaves[1], rates=(), note="grown")
    assert through_json(grown, share) == grown


def test_equal_shared_objects_are_written_once_and_read_as_one() -> None:
    twice = Tree(leaves=(Leaf(size=2.0, name="x"),), best=Leaf(size=2.0, name="x"), rates=())
    assert len(codec.pack(twice, share=Leaf)[0]) == 1
    read = through_json(twice, Leaf)
    assert read.best is read.leaves[0]


def test_the_packed_form_is_not_touched_by_reading() -> None:
    packed = codec.pack(TREE, share=Leaf)
    assert codec.unpack(Tree, packed, share=Leaf) == codec.unpack(Tree, packed, share=Leaf)


def test_the_signature_follows_nested_types() -> None:
    def tree_of(*leaf_fields: tuple[str, type]) -> type:
        leaf = make_dataclass("Leaf", leaf_fields)
        return make_dataclass("Tree", [("leaves", tuple[leaf, ...]), ("best", leaf | None)])

    one = codec.signature(tree_of(("size", float)))
    assert one == codec.signature(tree_of(("size", float)))
    assert one != codec.signature(tree_of(("size", int)))
    assert one != codec.signature(tree_of(("length", float)))


@pytest.mark.parametrize("value", [{1, 2}, [1], object()])
def test_what_cannot_be_packed_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cannot pack"):
        codec.pack((value,))
    with pytest.raises(TypeError, match="cannot unpack"):
        codec.unpack(make_dataclass("Bad", [("field", set)]), [[], [1]])
