"""Arithmetic and times of a compiled step's operations, against products that are counted and programs made by hand."""

import io
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import Array, lax
from rich.console import Console

from benchmarks import operations
from benchmarks.arithmetic import flop
from benchmarks.hlo import kernels
from benchmarks.operations import BETWEEN, LOOPS, ONCE, UNKNOWN, Operation

LABELS = ("NHWC", "HWIO", "NHWC")


def convolution(stride: int, padding: tuple[int, int], dilation: tuple[int, int]) -> Callable[[Array, Array], Array]:
    def apply(images: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(
            images, kernel, (stride, 1), [padding, (1, 1)], (dilation[0], 1), (dilation[1], 1), LABELS
        )

    return apply


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2), (3, 0)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 2)])
def test_ones_convolved_with_ones_sum_to_the_number_of_products(
    stride: int, padding: tuple[int, int], dilation: tuple[int, int]
) -> None:
    images, kernel = jnp.ones((2, 9, 5, 3)), jnp.ones((3, 3, 3, 4))
    program = jax.jit(convolution(stride, padding, dilation)).lower(images, kernel).compile()
    assert sum(each.flop for each in kernels(program.as_text())) == 2 * program(images, kernel).sum()


def test_grouped_convolution() -> None:
    images, kernel = jnp.ones((2, 6, 6, 4)), jnp.ones((3, 3, 1, 8))

    def apply(images: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=LABELS, feature_group_count=4)

    program = jax.jit(apply).lower(images, kernel).compile()
    assert sum(each.flop for each in kernels(program.as_text())) == 2 * program(images, kernel).sum()


def test_products_of_matrices_as_cpus_and_gpus_write_them() -> None:
    assert (
        flop("%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}", (4, 5), [(4, 7), (7, 5)]) == 2 * 4 * 7 * 5
    )
    config = 'custom_call_target="__cublas$gemm", backend_config={"lhs_contracting_dimensions":["0"]}'
    assert flop(f"%a, %b), {config}", (4, 5), [(7, 4), (7, 5)]) == 2 * 4 * 7 * 5
    assert flop("%a, %b), kind=kLoop", (4, 5), [(4, 5), (4, 5)]) == 0


def test_gradients_by_cudnn_count_as_the_convolution_that_they_belong_to() -> None:
    labels = "window={size=3x3 stride=2x2 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f"
    images, kernel, output = (2, 8, 8, 3), (5, 3, 3, 3), (2, 4, 4, 5)
    forward = flop(f'{labels}, custom_call_target="__cudnn$convForward"', output, [images, kernel])
    assert forward == 2 * 2 * 5 * 3 * (4 * 3 - 1) ** 2  # one tap of twelve lies in the padding, along each axis
    assert flop(f'{labels}, custom_call_target="__cudnn$convBackwardInput"', images, [output, kernel]) == forward
    assert flop(f'{labels}, custom_call_target="__cudnn$convBackwardFilter"', kernel, [images, output]) == forward


STEP = """HloModule jit_step

%added (p: f32[4,8]) -> f32[4,8] {
  %p = f32[4,8]{1,0} parameter(0)
  ROOT %n = f32[4,8]{1,0} negate(%p)
}

%summed (q: f32[4,8]) -> f32[8] {
  %q = f32[4,8]{1,0} parameter(0)
  ROOT %s = f32[8]{0} reduce(%q, %q), dimensions={0}, to_apply=%plus
}

%body (c: (s32[])) -> (s32[]) {
  %c = (s32[]) parameter(0)
  %cut = s32[] fusion(%c), kind=kLoop, calls=%added
  ROOT %t = (s32[]) tuple(%cut)
}

ENTRY %main (x: f32[4,8], k: f32[8,5]) -> f32[4,5] {
  %x = f32[4,8]{1,0} parameter(0)
  %k = f32[8,5]{1,0} parameter(1)
  %loop = (s32[]) while(%x), condition=%ends, body=%body
  %turned = f32[8,4]{1,0} transpose(%x), dimensions={1,0}
  %negated = f32[4,8]{1,0} fusion(%x), kind=kLoop, calls=%added
  %sum = f32[8]{0} fusion(%negated), kind=kLoop, calls=%summed
  ROOT %product = f32[4,5]{1,0} dot(%negated, %k), lhs_contracting_dims={1}, metadata={op_name="jit(step)/dot"}
}
"""
TIMES = {"product": [4.0, 40.0, 4.0], "loop": [9.0] * 3, "cut": [0.5] * 6, "sum": [1.0] * 3, "turned": [0.5] * 3}
TIMES |= {"negated": [2.0] * 3, "memcpy": [0.25] * 3}


def test_operations_of_a_step_by_hand() -> None:
    found = {each.name: each for each in operations.operations(STEP, TIMES, 3, arithmetic=160.0, bandwidth=128.0)}
    assert "loop" not in found, "its time is that of what it repeats"
    assert next(iter(found)) == "product"
    assert found["product"] == Operation(
        "product", "products of matrices", "jit(step)/dot", 4.0, max(320 / 160, 368 / 128), 320, 128 + 160 + 80
    )
    assert (found["negated"].group, found["negated"].seconds, found["negated"].least) == ("element by element", 2, 2)
    assert (found["sum"].group, found["turned"].group) == ("sums", "copies and transposes")
    assert (found["cut"].group, found["cut"].seconds) == (LOOPS, 1.0)  # twice a step
    assert (found["memcpy"].group, found["memcpy"].least) == (UNKNOWN, 0)
    on_gpu = operations.operations(STEP, TIMES, 3, arithmetic=160.0, bandwidth=128.0, elsewhere=ONCE)
    assert {each.name for each in on_gpu if each.group == ONCE} == {"cut"}


def test_kernels_of_an_operation_are_added_up_for_each_step() -> None:
    split = [5.0, 5.0, 300.0, 5.0, 6.0, 310.0, 5.0, 5.0, 900.0]  # three kernels a step; the third step was disturbed
    at_the_start = [3.0]  # once in a dispatch of three steps
    times = {"product": split, "turned": at_the_start}
    found = {each.name: each for each in operations.operations(STEP, times, 3, arithmetic=160.0, bandwidth=128.0)}
    assert found["product"].seconds == 321
    assert found["turned"].seconds == 1


def test_report_and_picture(tmp_path: Path) -> None:
    found = [Operation("a", "sums", "", 0.002, 0.001, 0, 10**6), Operation("b", "dots", "", 0.004, 0.003, 10**9, 10**6)]
    shown = io.StringIO()
    Console(width=150, file=shown).print(operations.report(found, 0.01, (500e9, 2e9)))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.getvalue().splitlines() if "│" in line]
    assert rows == [
        ["dots", "1", "4.0", "40%", "250 (50%)", "0 (12%)", "3.0 (75%)"],
        ["sums", "1", "2.0", "20%", "", "0 (25%)", "1.0 (50%)"],
        [BETWEEN, "", "4.0", "40%", "", "", ""],
        ["the step", "2", "10.0", "100%", "100 (20%)", "0 (10%)", "4.0 (40%)"],
    ]
    operations.draw(found, 0.01, "a title", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000
