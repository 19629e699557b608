"""Small arrays of a tree as one vector, and back."""

from typing import Any

import jax
import numpy as np
import pytest

from jaxseg.storage.gathering import SMALL, gather, spread


def tree() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    return {
        "block10": {"kernel": draw.standard_normal((3, 3, 2, 4)).astype(np.float32), "step": np.int32(3)},
        "block1": {"scale": np.arange(5, dtype=np.float32), "none": np.zeros((0, 2), np.float32)},
        "deep": {"kernel": draw.standard_normal((SMALL // 4, 4)).astype(np.float32)},
    }


def test_a_tree_survives_in_few_arrays() -> None:
    parts, index = gather(tree())
    assert {name: leaf.shape for name, leaf in parts["gathered"].items()} == {
        "float32": (3 * 3 * 2 * 4 + 5,),
        "int32": (1,),
    }
    assert list(index["float32"]) == ["block1/none", "block1/scale", "block10/kernel"]
    np.testing.assert_array_equal(parts["arrays"]["deep"]["kernel"], tree()["deep"]["kernel"])
    assert len(jax.tree.leaves(parts)) == 3
    back = spread(parts, index)
    assert jax.tree.structure(back) == jax.tree.structure(tree())
    for found, expected in zip(jax.tree.leaves(back), jax.tree.leaves(tree()), strict=True):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(found, expected)


def test_a_part_without_leaves_is_left_out() -> None:
    assert list(gather({"a": np.ones(3)})[0]) == ["gathered"]
    parts, index = gather({"a": np.ones(SMALL)})
    assert (list(parts), index) == (["arrays"], {})
    assert list(spread(parts, index)) == ["a"]


def test_an_index_of_other_arrays_is_refused() -> None:
    parts, index = gather(tree())
    index["float32"]["block1/scale"] = [6]
    with pytest.raises(ValueError, match=r"77 numbers of float32 where the index names 78"):
        spread(parts, index)


def test_a_key_with_a_slash_is_refused() -> None:
    with pytest.raises(ValueError, match="a/b"):
        gather({"a/b": np.ones(3)})
