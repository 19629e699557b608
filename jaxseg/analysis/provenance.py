"""What stands behind the numbers: weights, datasets, runs, versions."""

from collections.abc import Mapping
from importlib import metadata
from typing import Any

import pandas as pd

from jaxseg.analysis.scores import Results, training_images
from jaxseg.datasets.card import Card
from jaxseg.datasets.catalogue import DESCRIPTIONS

PACKAGES = (
    "jaxseg",
    "jax",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "numpy",
    "scipy",
    "statsmodels",
    "pandas",
    "umap-learn",
    "matplotlib",
)
IDENTITY = ("arrays_sha256", "mean", "std")  # of weights.json: what a training got from initial weights


def weights_receipts(results: Results) -> list[dict[str, Any]]:
    """weights.json per weights name; `several` where runs of one name differ in arrays or statistics."""
    receipts: list[dict[str, Any]] = []
    for name in results.study.weights:
        found = [state.folder.read_weights() for state in results.find(weights=name)]
        if not found:
            receipts.append({"name": name, "missing": True})
            continue
        several = any(item.get(field) != found[0].get(field) for item in found for field in IDENTITY)
        receipts.append({**found[0], "name": name, "missing": False, "several": several})
    return receipts


def dataset_facts(results: Results, baseline: pd.DataFrame, cards: Mapping[str, Card]) -> list[dict[str, Any]]:
    """Counts as used, the built-in description where there is one, what preparing warned of where there is a card."""
    study, images = results.study, images_per_fraction(results)
    facts = []
    for name in dict.fromkeys((*study.datasets, *study.tested_on)):
        tested = baseline[(baseline["tested_on"] == name) & (baseline["subset"] == "all")]
        facts.append(
            {
                "name": name,
                "description": DESCRIPTIONS.get(name),
                "training_images": images.get((name, study.fractions[-1])),
                "test_images": int(tested["images"].iloc[0]) if len(tested) else None,
                "warnings": cards[name].warnings if name in cards else None,
                "foreground": float(tested["foreground"].iloc[0]) if len(tested) else None,
            }
        )
    return facts


def images_per_fraction(results: Results) -> dict[tuple[str, float], str]:
    """(dataset, fraction) -> number of training images, where split.json says it; "3 to 8" where runs differ.

    Images are drawn by patient, so that repeats of one fraction may hold different numbers.
    """
    counts: dict[tuple[str, float], set[int]] = {}
    for state in results.finished():
        count = training_images(state)
        if count is not None:
            counts.setdefault((state.run.dataset, state.run.fraction), set()).add(count)
    return {place: str(min(c)) if len(c) == 1 else f"{min(c)} to {max(c)}" for place, c in counts.items()}


def run_facts(results: Results) -> dict[str, Any]:
    """How many runs came how far, on what, in how many seconds."""
    done = [state.done for state in results.runs if state.state == "done"]
    return {
        "states": pd.Series([state.state for state in results.runs]).value_counts().to_dict(),
        "total": len(results.runs),
        "devices": sorted({str(item.get("device", "unknown")) for item in done}),
        "seconds": sum(float(item.get("seconds") or 0) for item in done),
        "steps": sum(int(item.get("steps") or 0) for item in done),
        "incomplete": [state for state in results.runs if state.state != "done"],
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
