"""jaxseg's side of `benchmarks.start`: prepared like our commands, which know the recipe before they import JAX."""

import importlib
from typing import Any

from benchmarks.turns import Turn
from jaxseg.config import ModelConfig, Recipe
from jaxseg.execution.start import prepare_process


def train_step(setting: dict[str, Any]) -> Turn:
    """As `benchmarks.ours.train_step`, with the compilation cache."""
    model, side = ModelConfig(setting["depth"], setting["width"]), setting["side"]
    prepare_process(Recipe(model, crop=side, stride=side // 2, batch=setting["batch"], compute_dtype=setting["dtype"]))
    turn: Turn = importlib.import_module("benchmarks.ours").train_step(setting)
    return turn
