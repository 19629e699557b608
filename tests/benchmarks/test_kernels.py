"""Kernels counted in a compiled program, by hand."""

import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from rich.console import Console

from benchmarks.hlo import Kernel, kernels
from benchmarks.kernels import Flags, _compiled, report

STRAIGHT = """HloModule jit_f

%fused (p: bf16[4,8]) -> bf16[4,8] {
  %p = bf16[4,8]{1,0} parameter(0)
  ROOT %n = bf16[4,8]{1,0} negate(%p)
}

ENTRY %main (x: bf16[4,8], k: f32[3]) -> (bf16[4,8], u8[0]) {
  %x = bf16[4,8]{1,0} parameter(0)
  %k = f32[3]{0} parameter(1)
  %fusion.1 = bf16[4,8]{1,0} fusion(%x), kind=kLoop, calls=%fused, metadata={op_name="jit(f)/neg"}
  %gemm = f32[4,4]{1,0} fusion(%fusion.1, %x), kind=kCustom, backend_config={"kind":"__triton_nested_gemm_fusion"}
  ROOT %conv = (bf16[4,8]{1,0}, u8[16]{0}) custom-call(%fusion.1, %k), custom_call_target="__cudnn$convForward"
}
"""
LOOP = """HloModule jit_g

%body (c: (s32[], f32[10])) -> (s32[], f32[10]) {
  %c = (s32[], f32[10]{0}) parameter(0)
  %i = s32[] get-tuple-element(%c), index=0
  %a = f32[10]{0} get-tuple-element(%c), index=1
  %b = f32[10]{0} fusion(%a), kind=kInput, calls=%f, metadata={op_name="jit(g)/sum"}
  %d = f32[10]{0} fusion(%b), kind=kLoop, calls=%f
  ROOT %t = (s32[], f32[10]{0}) tuple(%i, %d)
}

ENTRY %main (x: f32[10]) -> (s32[], f32[10]) {
  %x = f32[10]{0} parameter(0)
  %before = f32[10]{0} fusion(%x), kind=kLoop, calls=%f
  ROOT %while.1 = (s32[], f32[10]{0}) while(%tuple), condition=%cond, body=%body
}
"""
PRODUCTS = """HloModule jit_h

%both (p: f32[4,8], q: f32[8,5]) -> f32[4,5] {
  %p = f32[4,8]{1,0} parameter(0)
  %q = f32[8,5]{1,0} parameter(1)
  %one = f32[4,5]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %other = f32[4,5]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %sum = f32[4,5]{1,0} add(%one, %other)
}

ENTRY %main (x: f32[4,8], k: f32[8,5]) -> f32[4,5] {
  %x = f32[4,8]{1,0} parameter(0)
  %k = f32[8,5]{1,0} parameter(1)
  ROOT %fusion = f32[4,5]{1,0} fusion(%x, %k), kind=kOutput, calls=%both
}
"""


def test_a_program_without_loops() -> None:
    assert kernels(STRAIGHT) == [
        Kernel("fusion.1", "fusion: kLoop", 64 + 64, "jit(f)/neg"),
        Kernel("gemm", "__triton_nested_gemm_fusion", 64 + 64 + 64, ""),
        Kernel("conv", "__cudnn$convForward", 64 + 16 + 64 + 12, ""),
    ]


def test_of_a_loop_its_body_counts() -> None:
    assert kernels(LOOP) == [
        Kernel("b", "fusion: kInput", 80, "jit(g)/sum"),
        Kernel("d", "fusion: kLoop", 80, ""),
    ]


def test_arithmetic_of_all_products_within_a_kernel_counts() -> None:
    (found,) = kernels(PRODUCTS)
    assert found.flop == 2 * 4 * 8 * 5 + 2 * 4 * 8 * 5


def test_a_step_of_training_is_what_is_compiled() -> None:
    flags = Flags(depth=18, width=1 / 16, side=32, batch=2, steps=1, dtype="float32")
    text = _compiled(flags, jax.devices()[:1])
    assert "u32[16,64,64]" in text  # the images
    assert "transpose(jvp(jit(convolve)))" in text


def test_report_by_hand() -> None:
    found = [
        Kernel("a", "one", 3_000_000_000, ""),
        Kernel("b", "two", 3_000, "", 4 * 10**12),
        Kernel("c", "two", 3_000, ""),
    ]
    shown = io.StringIO()
    Console(width=120, file=shown).print(report(found, Flags(bandwidth=3e12, launch=1e-3)))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.getvalue().splitlines() if "│" in line]
    assert rows == [
        ["one", "1", "3.00", "0.00", "1.00", "1.00", "1.00"],
        ["two", "2", "0.00", "4.00", "0.00", "5.00", "6.00"],
        ["together", "3", "3.00", "4.00", "1.00", "6.00", "7.00"],
    ]


@pytest.mark.skipif(importlib.util.find_spec("jax_plugins") is not None, reason="the plugin is installed")
def test_without_a_gpu_and_the_plugin_it_says_what_to_install() -> None:
    command = [sys.executable, "-m", "benchmarks.kernels"]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert 'pip install "jax[cuda12]"' in ended.stderr
