"""The cell study of Kataria, Knudsen and Elhabian (arXiv 2307.03275), Figures 6 and 7.

Five initial weights, KUMAR, CPM17 and TNBC, five fractions of the training images, five repeats: 375 runs of 2000
epochs, each scored on the three test sets, so that training on one and testing on the others comes with it.

The recipe is that of configs/paper_glands.py with half the epochs; its docstring tells what the paper says and what it
leaves open. TNBC has no official split: test images are those of patients 02, 09, 10 and 11 (34/16 as in the paper).
KUMAR, and perhaps CPM17, are cut from TCGA slides, on which the weights ssl_pathology were trained without labels.

Expect at all of the data, foreground Dice on the whole test set: KUMAR about .82 (outside .78-.85 suspect a mistake).
With 8 to 32 test images the spread over images dominates: half-widths of 2 to 6 points for a mean.

    python launch/prepare.py kumar --manual-dir ... --data-dir data       and likewise cpm17, tnbc
    python -m weights_convert convert FILE --source imagenet_v1 --out weights       and the other three
    python launch/sweep.py configs/paper_cells.py --out studies/cells --dry-run
    python launch/sweep.py configs/paper_cells.py --out studies/cells --gpus 0,1,2,3
"""

from jaxseg.config import Recipe, Study


def get_study() -> Study:
    return Study(
        name="paper_cells",
        title="To pretrain or not to pretrain: cells",
        task="nuclei",
        datasets=("kumar", "cpm17", "tnbc"),
        weights=("random", "imagenet_v1", "imagenet_v2", "ssl_image", "ssl_pathology"),
        fractions=(0.1, 0.3, 0.5, 0.7, 1.0),
        repeats=5,
        recipe=Recipe(
            crop=256,
            stride=128,
            batch=16,
            learning_rate=1e-4,
            budgets=(125, 250, 500, 1000, 2000),
            validate_every=10,
        ),
    )
