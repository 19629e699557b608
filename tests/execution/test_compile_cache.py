"""The compilation cache is refused where others could have written into it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from jax._src import compilation_cache

from jaxseg.compute import processor
from jaxseg.compute.host import usable_cores
from jaxseg.errors import InputError
from jaxseg.execution import compile_cache


def test_made_with_mode_0700_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "a" / "b"))
    former = os.umask(0)
    try:
        folder = compile_cache.check()
    finally:
        os.umask(former)
    assert folder == tmp_path / "a" / "b"
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o755, 0o701])
def test_wider_mode_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path))
    tmp_path.chmod(mode)
    with pytest.raises(InputError, match=f"mode {mode:04o}(.|\n)*chmod 700 {tmp_path}"):
        compile_cache.check()


@pytest.mark.parametrize("below", ["", "xla"])
def test_a_file_in_the_way_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "file" / below))
    with pytest.raises(InputError, match=r"compilation cache is a file(.|\n)*set JAXSEG_CACHE"):
        compile_cache.check_private()
    with pytest.raises(InputError, match=r"compilation cache (.|\n)*set JAXSEG_CACHE"):
        compile_cache.check()


def test_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path))
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(InputError, match="another user"):
        compile_cache.check()


@pytest.mark.parametrize("first", ["", "import jax; "])
def test_jax_uses_it_also_when_it_was_imported_before(tmp_path: Path, first: str) -> None:
    code = f"{first}from jaxseg.execution import compile_cache; compile_cache.enable(); import jax; "
    code += "print(jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"JAXSEG_CACHE": str(tmp_path / "cache"), "JAX_PLATFORMS": "cpu"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [str(tmp_path / "cache" / f"{usable_cores()}-cores-{processor.kind()}"), "0.02"]


@pytest.mark.parametrize("cores", [1, 2])
def test_what_a_gpu_computes_does_not_depend_on_cores(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    monkeypatch.setattr(compile_cache, "usable_cores", lambda: cores)
    former = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(os.environ))
        try:
            assert compile_cache.enable().name == f"gpu-{processor.kind()}"
        finally:
            jax.config.update("jax_compilation_cache_dir", former)


def test_what_was_left_half_written_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JAX itself tells it apart: by reading it."""
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path))
    tmp_path.chmod(0o700)
    former = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(os.environ))
        try:
            folder = compile_cache.enable()
            content = compilation_cache.compress_executable(bytes(range(256)) * 100)
            for name, length, age in (
                ("whole", len(content), 100),
                ("cut", 200, 100),
                ("empty", 0, 100),
                ("now", 9, 0),
            ):
                entry = folder / f"{name}-cache"
                entry.write_bytes(content[:length])
                os.utime(entry, (time.time() - age,) * 2)
            (folder / "zstandard-cache").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(9))  # by JAX, where it is installed
            os.utime(folder / "zstandard-cache", (time.time() - 100,) * 2)
            for _ in range(2):
                compile_cache.enable()
                left = {file.name for file in folder.glob("*-cache")}
                assert left == {"whole-cache", "now-cache", "zstandard-cache"}
                patch.setattr(compile_cache, "_is_whole", lambda entry: pytest.fail(f"read again: {entry}"))
        finally:
            jax.config.update("jax_compilation_cache_dir", former)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or usable_cores() < 2, reason="needs two cores to choose from")
def test_a_program_of_one_core_is_not_run_on_more(tmp_path: Path) -> None:
    code = """
import os, sys
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:int(sys.argv[1])]))
from jaxseg.execution import compile_cache
compile_cache.enable()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
shape = jax.ShapeDtypeStruct((64, 256, 256), "float32")
print('outer_dimension_partitions":["2"]' in jax.jit(lambda x: x * x + 1).lower(shape).compile().as_text())
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    environment |= {"JAXSEG_CACHE": str(tmp_path / "cache"), "JAX_PLATFORMS": "cpu"}
    shared_out = [
        subprocess.run([sys.executable, "-c", code, cores], env=environment, capture_output=True, text=True, check=True)
        for cores in ("1", "2", "1")
    ]
    assert [result.stdout.strip() for result in shared_out] == ["False", "True", "False"]
    kept = {file.parent.name for file in (tmp_path / "cache").glob("*/*-cache")}
    assert kept == {f"{cores}-cores-{processor.kind()}" for cores in (1, 2)}


@pytest.mark.parametrize("below", ["a-file", "a-file/folder"])
def test_a_folder_that_cannot_be_made_is_told_with_how_to_choose_another(
    below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As below a home folder that a cluster's nodes cannot write to."""
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / below))
    told = rf"{below}: compilation cache cannot be written: [^\n]+\n +remedy: +set JAXSEG_CACHE"
    with pytest.raises(InputError, match=told):
        compile_cache.check()
