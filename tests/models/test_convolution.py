"""Convolutions written for CPUs against XLA's plain ones, in value and gradient."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

from jaxseg.compute import device
from jaxseg.models import convolution
from jaxseg.models.convolution import convolve, convolve_upsampled, of_inputs, upsample

BY_YNNPACK = {device.LIBRARY: device.CONVOLUTIONS}


def plain(x: Array, kernel: Array, stride: int = 1) -> Array:
    pad = kernel.shape[0] // 2
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), ((pad, pad),) * 2, dimension_numbers=numbers)


def drawn(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.normal(size=shape) for shape in shapes]


def assert_same(found: object, expected: object) -> None:
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12 * float(jnp.abs(other).max()))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("outputs", [17, 5, 1])
@pytest.mark.parametrize(
    "shape", [(2, 10, 12, 3), (2, 4, 6, 12), (2, 4, 5, 12), (3, 4, 2, 40)]
)  # maps larger and smaller than kernels
def test_convolution_and_its_gradients(size: int, stride: int, shape: tuple[int, ...], outputs: int) -> None:
    with jax.enable_x64(True):
        x, kernel = drawn(shape, (size, size, shape[-1], outputs))
        expected, back = jax.vjp(lambda x, kernel: plain(x, kernel, stride), x, kernel)
        found, our_back = jax.vjp(lambda x, kernel: convolve(x, kernel, stride=stride), x, kernel)
        (gradient,) = drawn(expected.shape)
        assert_same((found, our_back(gradient)), (expected, back(gradient)))


@pytest.mark.parametrize("outputs", [4, 40, 1])
@pytest.mark.parametrize("shape", [(2, 6, 4, 3), (2, 1, 1, 64), (1, 16, 16, 2), (1, 2, 3, 40)])
def test_convolution_of_the_upsampled(shape: tuple[int, ...], outputs: int) -> None:
    with jax.enable_x64(True):
        x, kernel = drawn(shape, (3, 3, shape[-1], outputs))
        expected, back = jax.vjp(lambda x, kernel: plain(upsample(x), kernel), x, kernel)
        found, our_back = jax.vjp(convolve_upsampled, x, kernel)
        (gradient,) = drawn(expected.shape)
        assert_same((found, our_back(gradient)), (expected, back(gradient)))


@pytest.mark.parametrize(
    ("pixels", "inputs", "outputs", "operation"),
    [(64, 16, 4, "f32[4,16]{1,0} dot("), (8, 16, 4, "f32[4,16]{1,0} fusion("), (64, 16, 16, "f32[16,16]{1,0} dot(")],
)
def test_xla_does_not_undo_the_order_of_a_products_operands(
    pixels: int, inputs: int, outputs: int, operation: str
) -> None:
    x, kernel, gradient = (
        jnp.ones(shape) for shape in ((1, 1, pixels, inputs), (1, 1, inputs, outputs), (1, 1, pixels, outputs))
    )
    compiled = jax.jit(lambda *given: jax.vjp(convolve, *given[:2])[1](given[2])).lower(x, kernel, gradient).compile()
    assert operation in compiled.as_text()


@pytest.mark.parametrize("cpu", [True, False])
def test_parts_of_a_kernel(cpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "on_cpu", lambda: cpu)
    (kernel,) = drawn((3, 3, 7, 2))
    parts, back = jax.vjp(lambda kernel: of_inputs(kernel, 5), jnp.asarray(kernel, jnp.float32))
    np.testing.assert_array_equal(parts[0], kernel[:, :, :5].astype(np.float32))
    np.testing.assert_array_equal(parts[1], kernel[:, :, 5:].astype(np.float32))
    np.testing.assert_array_equal(back(parts)[0], kernel.astype(np.float32))


def test_both_ways_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with jax.enable_x64(True):
        x, kernel, small = drawn((2, 6, 4, 3), (3, 3, 3, 4), (1, 1, 3, 4))

        def results() -> tuple[Array, ...]:
            return convolve(x, kernel), convolve_upsampled(x, kernel), convolve(x, small), convolve(x, small, stride=2)

        here = results()
        monkeypatch.setattr(convolution, "on_cpu", lambda: False)
        jax.clear_caches()
        assert_same(here, results())
    jax.clear_caches()


@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("outputs", [4, 8, 16, 64])
def test_a_stem_of_pixels_side_by_side(outputs: int, library: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many outputs together as the library that convolves does well with, and the same numbers either way."""
    monkeypatch.setattr(convolution, "convolves_by_library", lambda: library)
    together = {True: {4: 32, 8: 64, 16: 64, 64: 128}, False: {4: 16, 8: 32, 16: 64, 64: 128}}[library][outputs]
    with jax.enable_x64(True):
        x, kernel = drawn((1, 4, 32, 3), (7, 7, 3, outputs))
        stem = functools.partial(convolve.__wrapped__, stride=2)
        assert f"f64[1,2,{16 * outputs // together},{together}]" in str(jax.make_jaxpr(stem)(x, kernel))
        expected, back = jax.vjp(functools.partial(plain, stride=2), x, kernel)
        found, our_back = jax.vjp(stem, x, kernel)
        (gradient,) = drawn(expected.shape)
        assert_same((found, our_back(gradient)), (expected, back(gradient)))


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 24), (80, 32), (32, 80), (4, 8)])
def test_eigen_computes_what_ynnpack_would_leave_to_one_core(
    inputs: int, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps and gradients are the same, and a program whose convolutions are YNNPACK's holds none of its."""
    x, kernel = (jnp.asarray(each, jnp.float32) for each in drawn((2, 12, 20, inputs), (3, 3, inputs, outputs)))

    def both(x: Array, kernel: Array) -> tuple[Array, ...]:
        maps, back = jax.vjp(convolve.__wrapped__, x, kernel)
        return maps, *back(jnp.cos(maps))

    def program() -> Any:
        return jax.jit(lambda *given: both(*given), compiler_options=BY_YNNPACK).lower(x, kernel).compile()

    monkeypatch.setattr(convolution, "leaves_cores_idle", lambda outputs: False)
    plainly = program()
    monkeypatch.setattr(convolution, "leaves_cores_idle", lambda outputs: outputs <= 80)
    by_eigen = program()
    assert "__ynn_fusion" in plainly.as_text()
    assert "__ynn_fusion" not in by_eigen.as_text()
    for ours, theirs in zip(by_eigen(x, kernel), plainly(x, kernel), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(jnp.abs(theirs).max()))


def test_gpus_get_no_product_of_every_second_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "on_cpu", lambda: False)
    x, kernel = jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 1, 2, 3))
    text = str(jax.make_jaxpr(lambda: convolve.__wrapped__(x, kernel, 2))())
    assert "conv_general_dilated" in text
    assert "dot_general" not in text
