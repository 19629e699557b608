"""Convolutions with rounded factors against PyTorch's in float64, of the same factors."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxseg.compute import device
from jaxseg.config import ModelConfig
from jaxseg.models import bfloat16
from jaxseg.models.convolution import convolve, convolve_upsampled
from jaxseg.models.initial import initial
from jaxseg.models.layers import relu
from jaxseg.models.rounding import rounded
from jaxseg.models.unet import network

HALF_A_DIGIT = 2.0**-8  # the least that separates two numbers of bfloat16, relative to them


def drawn(*shape: int, seed: int) -> Array:
    """Numbers that rounding to bfloat16 leaves as they are, as float32."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.bfloat16).astype(jnp.float32)


def nchw(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(x, np.float64).transpose(0, 3, 1, 2).copy())


def nhwc(x: torch.Tensor | None) -> np.ndarray:
    assert x is not None
    return x.detach().permute(0, 2, 3, 1).numpy()


def assert_near(found: Array, expected: np.ndarray, digit: float) -> None:
    np.testing.assert_allclose(np.array(found, np.float64), expected, atol=digit * np.abs(expected).max())


CONVOLUTIONS = [(size, stride, False) for size in (1, 3, 7) for stride in (1, 2)]


@pytest.mark.parametrize(("size", "stride", "upsampled"), [*CONVOLUTIONS, (3, 1, True)])
@pytest.mark.parametrize("shape", [(2, 12, 8, 6), (3, 4, 2, 200), (1, 6, 10, 3), (2, 5, 7, 6)])
def test_convolution_and_its_gradients(shape: tuple[int, ...], size: int, stride: int, upsampled: bool) -> None:
    x, kernel = drawn(*shape, seed=1), drawn(size, size, shape[-1], 10, seed=2)
    image, weight = nchw(x).requires_grad_(), torch.from_numpy(np.array(kernel, np.float64)).requires_grad_()
    larger = torch.nn.functional.interpolate(image, scale_factor=2, mode="nearest") if upsampled else image
    expected = torch.nn.functional.conv2d(larger, weight.permute(3, 2, 0, 1), stride=stride, padding=size // 2)
    slope = drawn(*nhwc(expected).shape, seed=3)
    expected.backward(nchw(slope))

    def ours(x: Array, kernel: Array) -> Array:
        return convolve_upsampled(x, kernel) if upsampled else convolve(x, kernel, stride)

    found, pull = jax.vjp(ours, x, kernel.astype(jnp.bfloat16))
    of_x, of_kernel = pull(slope)
    assert found.dtype == of_x.dtype == jnp.float32
    assert of_kernel.dtype == jnp.bfloat16
    sums = 2 * HALF_A_DIGIT if upsampled else 1e-6  # sums of an upsampled map's kernels are rounded once more
    assert_near(found, nhwc(expected), sums)
    np.testing.assert_array_equal(ours(x, kernel.astype(jnp.bfloat16)), found)  # without gradients
    assert_near(of_x, nhwc(image.grad), sums)
    assert weight.grad is not None
    assert_near(of_kernel, weight.grad.numpy(), HALF_A_DIGIT)


@pytest.mark.parametrize(("pixels", "inputs", "outputs"), [(300, 200, 3), (5, 7, 130), (64, 128, 129)])
def test_product_and_its_gradients(pixels: int, inputs: int, outputs: int) -> None:
    rows, matrix = drawn(pixels, inputs, seed=1), drawn(inputs, outputs, seed=2)
    found, pull = jax.vjp(bfloat16.dot, rows, matrix.astype(jnp.bfloat16))
    slope = drawn(pixels, outputs, seed=3)
    of_rows, of_matrix = pull(slope)
    wide = [np.array(each, np.float64) for each in (rows, matrix, slope)]
    assert_near(found, wide[0] @ wide[1], 1e-6)
    assert_near(of_rows, wide[2] @ wide[1].T, 1e-6)
    assert_near(of_matrix, wide[0].T @ wide[2], HALF_A_DIGIT)


def test_what_is_multiplied_is_rounded_and_nothing_else() -> None:
    third = jnp.full((1, 1, 1, 1), 1 / 3, jnp.float32)
    square = convolve(third, third.astype(jnp.bfloat16))
    factor = np.float32(jnp.bfloat16(1 / 3))
    assert float(square[0, 0, 0, 0]) == factor * factor


def test_a_network_loses_less_by_it_than_in_bfloat16_throughout() -> None:
    config = ModelConfig(50, 1 / 16)
    params, stats = jax.device_put(initial(config, None, ("bfloat16",)))
    images, net = drawn(2, 128, 128, 3, seed=0), network(config)
    (exact, _), _ = net.apply(params, stats, images, train=True)
    (whole, _), _ = net.apply(params, stats, images.astype(jnp.bfloat16), train=True)
    mixed = rounded(params, device.precision("bfloat16"))
    (found, features), running = net.apply(mixed, stats, images, train=True)
    assert 0 < jnp.abs(found - exact).mean() < 0.9 * jnp.abs(whole - exact).mean()
    assert {leaf.dtype for leaf in jax.tree.leaves((found, features, running))} == {np.dtype(np.float32)}


def test_a_networks_convolutions_but_stem_and_head_are_made_products_of_rounded_maps() -> None:
    config = ModelConfig(18, 1 / 16)
    params, stats = initial(config, None, ("bfloat16",))
    mixed, net = rounded(params, device.precision("bfloat16")), network(config)
    program = str(
        jax.make_jaxpr(lambda images: net.apply(mixed, stats, images, train=False))(jnp.zeros((1, 64, 64, 3)))
    )
    assert program.count("conv_general_dilated[") == 2


def test_all_products_are_of_the_form_that_the_library_takes() -> None:
    def objective(x: Array, kernel: Array) -> Array:
        return jnp.square(convolve(x, kernel)).sum()

    x, kernel = jnp.ones((2, 16, 16, 32)), jnp.ones((3, 3, 32, 32), jnp.bfloat16)
    gradient: Any = device.compiled(jax.grad(objective, (0, 1)), device.precision("bfloat16"))
    program = gradient.lower(x, kernel).compile().as_text()
    taken = re.findall(r"%ynn_fusion[.\d]* = ", program)
    assert len(taken) == program.count(" dot(") == 4  # one of them transposes
    assert " convolution(" not in program


@pytest.mark.parametrize("gradients", [False, True])
def test_what_is_laid_side_by_side_was_stored_before(gradients: bool) -> None:
    """Otherwise whatever comes before it is computed once for each of the columns."""

    def network(x: Array, kernels: tuple[Array, ...]) -> Array:
        for kernel in kernels:
            x = relu(convolve(x, kernel) * 3 + 1)
        return x.sum()

    x, kernel = jnp.ones((2, 16, 16, 32)), jnp.ones((3, 3, 32, 32), jnp.bfloat16)
    function = jax.grad(network, 1) if gradients else network
    compiled: Any = device.compiled(function, device.precision("bfloat16"))
    program = compiled.lower(x, (kernel,) * 3).compile().as_text()
    computations = re.findall(r"^%?\S+ \(([^)]*)\) -> \S+ {\n((?:  .*\n)+)", program, re.MULTILINE)
    taken = [parameters for parameters, body in computations if " gather(" in body]
    assert len(taken) >= 3
    assert all(re.fullmatch(r"[^,]*: (u16|bf16)\[[\d,]*\]", parameters) for parameters in taken), taken


def test_devices_exchange_nothing_but_the_kernels_gradients() -> None:
    mesh = Mesh(np.array(jax.devices()[:2]), ("batch",))
    whole, parts = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("batch"))

    def objective(kernels: list[Array], x: Array) -> Array:
        x = convolve(convolve(convolve(x, kernels[0]), kernels[1]), kernels[2], stride=2)
        return jnp.square(convolve_upsampled(x, kernels[3])).sum()

    shapes = [(3, 3, 8, 8), (1, 1, 8, 16), (3, 3, 16, 8), (3, 3, 8, 8)]
    kernels = [jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=whole) for shape in shapes]
    x = jax.ShapeDtypeStruct((4, 16, 16, 8), jnp.float32, sharding=parts)
    gradient: Any = device.compiled(jax.grad(objective), device.precision("bfloat16"), out_shardings=whole)
    program = gradient.lower(kernels, x).compile().as_text()
    assert set(re.findall(r" (all-[a-z]+|collective-[a-z]+|reduce-scatter)\(", program)) == {"all-reduce"}
