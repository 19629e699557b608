"""All benchmarks that this machine can run, one after the other: python -m benchmarks [--remark TEXT]"""

import tyro

from benchmarks import conversion, dtypes, inference, input, placement, profile, start, study, train_step
from benchmarks.failures import Failures
from benchmarks.machine import this_machine
from benchmarks.record import Options


def main() -> None:
    flags = tyro.cli(Options, description=__doc__)
    here = this_machine()
    print(f"device: {here.device}")
    if not here.gpu:
        print("left out, because there is no GPU: train_step at batches 8 to 64")
        if "bfloat16" not in dtypes.raced():
            print("left out, because this processor is no faster in it: train_step and inference in bfloat16")
    if not here.peer:
        print(
            "left out, because PyTorch is not there, or for another device than JAX: the peer (see docs/benchmarks.md)"
        )
    failures = Failures()
    for benchmark in (train_step, inference, input, conversion, start, study, placement, profile):
        with failures.noted(benchmark.__name__):
            benchmark.measure(benchmark.Flags(out=flags.out, remark=flags.remark))
    if not here.gpu:
        with failures.noted("benchmarks.train_step --one-core"):
            train_step.measure(train_step.Flags(batches=(2,), one_core=True, out=flags.out, remark=flags.remark))
    failures.end()


if __name__ == "__main__":
    main()
