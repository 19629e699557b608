"""A study of your own images: which weights to start from, for your task, at your number of images.

Put images and masks (0 background, anything else foreground; the same stems) into two folders and prepare them:

    my_images/{images,masks}/*.png
    python launch/prepare.py folder --name your_data --source my_images --task glands --data-dir data
    python -m weights_convert convert FILE --source imagenet_v1 --out weights       and others that you have
    python launch/sweep.py configs/your_data.py --out studies/your_data --dry-run

Then edit the lines marked (1) to (5) and leave out --dry-run. Start small: two fractions and three repeats show within
hours whether weights differ; more repeats later cost only the new runs, the finished ones stay.

Expect what the data allow: with 20 test images the mean Dice is known to 2 to 5 points, and the report says "cannot
tell" where more images, not more training, would be needed.
"""

from jaxseg.config import Recipe, Study


def get_study() -> Study:
    return Study(
        name="your_data",
        title="Which weights for my images?",
        task="glands",  # (1) as given to prepare.py
        datasets=("your_data",),  # (2) the names of your datasets; with two, each is also tested on the other
        weights=("random", "imagenet_v1", "ssl_pathology"),  # (3) folders in the weights directory
        fractions=(0.25, 0.5, 1.0),  # (4) of the training images
        repeats=3,
        recipe=Recipe(
            crop=256,
            stride=128,
            batch=16,
            learning_rate=1e-4,
            budgets=(250, 500, 1000),  # (5) epochs; the last ends a run, each gets its own scores
            validate_every=10,
        ),
    )
