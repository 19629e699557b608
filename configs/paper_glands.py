"""The gland study of Kataria, Knudsen and Elhabian (arXiv 2307.03275), Figures 2, 4 and 5.

Five initial weights, GlaS and CRAG, five fractions of the training images, five repeats: 250 runs of 4000 epochs, each
scored on both test sets, so that training on one and testing on the other comes with it. One run serves all epoch
budgets, because the learning rate is constant.

What the paper says: ResNet50 U-Net, 80/20 training/validation, crops of 256, flips, rotation and translation, learning
rate .0001, 4000 epochs, selection by validation loss, inference with windows at a stride of 128, five repeats. What it
leaves open and is chosen here: Adam, batch 16, cross-entropy plus Dice, fractions .1 to 1, an epoch is one crop an
image. The releases differ from the paper's counts: GlaS has 85 training images, CRAG 173.

Expect at all of the data, foreground Dice on the whole test set: GlaS .88-.93, CRAG .85-.91. Pretrained weights should
lead at few images and draw level at all of them.

    python launch/prepare.py glas --manual-dir ... --data-dir data       and likewise crag
    python -m weights_convert convert FILE --source imagenet_v1 --out weights       and the other three
    python launch/sweep.py configs/paper_glands.py --out studies/glands --dry-run
    python launch/sweep.py configs/paper_glands.py --out studies/glands --gpus 0,1,2,3
"""

from jaxseg.config import Recipe, Study


def get_study() -> Study:
    return Study(
        name="paper_glands",
        title="To pretrain or not to pretrain: glands",
        task="glands",
        datasets=("glas", "crag"),
        weights=("random", "imagenet_v1", "imagenet_v2", "ssl_image", "ssl_pathology"),
        fractions=(0.1, 0.3, 0.5, 0.7, 1.0),
        repeats=5,
        recipe=Recipe(
            crop=256,
            stride=128,
            batch=16,
            learning_rate=1e-4,
            budgets=(250, 500, 1000, 2000, 4000),
            validate_every=10,
        ),
    )
