"""Training with nothing else to do meanwhile."""

from typing import Any

from jaxseg.training.run import training


def train_run(*arguments: Any, **options: Any) -> None:
    """`training` to its end, the last checkpoint written."""
    with training(*arguments, **options):
        pass
