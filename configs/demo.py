"""A complete small study on drawn tissue, on a CPU, in minutes: what the report looks like and that all works.

Two sites of synthetic glands that differ in stain, scale and noise; random weights against "nuclei", an encoder that
the study first trains itself on synthetic nuclei; a quarter and all of the training images; three repeats. 24 runs and
one for the weights, each scored on both sites.

Expect a foreground Dice well above that of the answer "everything is foreground", which stands in the table beside it;
less on the other site than on the own; and no proof of anything about weights, which three repeats seldom give.

    make demo
    python launch/sweep.py configs/demo.py --out studies/demo
"""

import dataclasses

from jaxseg.config import ModelConfig, Recipe, RunConfig, Study, TrainedWeights

RECIPE = Recipe(
    model=ModelConfig(depth=18, width=1 / 8),
    crop=128,
    stride=64,
    batch=8,
    learning_rate=1e-3,
    budgets=(10, 30),
    validate_every=5,
)


def get_study() -> Study:
    nuclei = RunConfig("synthetic_nuclei_a", recipe=dataclasses.replace(RECIPE, budgets=(30,)))
    return Study(
        name="demo",
        title="Drawn glands: random weights against an encoder trained on drawn nuclei",
        task="glands",
        datasets=("synthetic_glands_a", "synthetic_glands_b"),
        weights=("random", "nuclei"),
        fractions=(0.25, 1.0),
        repeats=3,
        recipe=RECIPE,
        trained_weights=(TrainedWeights("nuclei", nuclei),),
    )
