"""How to read each figure, in plain words."""

from collections.abc import Sequence

from jaxseg.analysis import embedding
from jaxseg.analysis.feature_vectors import PATCHES

BUDGET = (
    "The best model found within so many epochs, by validation loss. A line that has become flat gains "
    "nothing from longer training; a gap that closes to the right means that better weights only save "
    "time. Fewer images also mean fewer steps per epoch, unless the study matches steps."
)
DOMAIN = (
    "Rows: the dataset trained on; columns: the test images. On the diagonal stands the own test set, "
    "beside it what is left on images of another origin without any fine-tuning. Brighter is better; ± "
    "is one standard deviation over repeats."
)
FOREST = (
    "How much better (right) or worse (left) than the reference, in Dice points. Thin line: 95 % "
    "interval, thick line: 90 % interval. Within the grey band the difference is less than one point: a"
    " thick line that lies wholly inside it means equivalent (before Holm's correction; with two trainings and three "
    "patients at least). A thin line that crosses the zero line leaves open which of the two is better; one that does "
    "not is no proof yet where several weights are compared, few patients were tested, or each was trained once."
)
TRAINING = (
    "One thin line per run: validation loss solid, training loss dotted. A validation loss that still "
    "falls at the end asks for more epochs; one that rises while the training loss falls is over-"
    "fitting, which the choice of the best model guards against. A lone line far from its fellows is a "
    "run to look at."
)
OVERLAYS = (
    "White: the annotation; yellow: what the network started from these weights found (first finished repeat, "
    "all images used that the study offers). The images are chosen by rule, not by eye: the hardest, "
    "the median and the easiest by mean Dice over all weights. Dice is that of the tables; with several "
    "classes it is their mean, and outlines are of all of them together."
)


def learning_reading(match: str, classes: int) -> str:
    """How to read the learning curves; says so where what lies further right was also trained for more steps."""
    dotted = " The dotted line is the score of calling every pixel foreground." if classes == 1 else ""
    steps = {
        "epochs": "asks for more images, or for more training steps: with equal epochs the two grow together",
        "steps": "asks for more images",
    }
    return (
        "Each line is one initial weights, further right means more training images; the band is one "
        "standard deviation over repeats to either side. Whether the bands of two lines overlap says little "
        "of their difference: weights are compared repeat by repeat and image by image, so take the paired "
        f"comparisons for that. A line that still rises at the right end {steps[match]}.{dotted}"
    )


def umap_reading(neighbours: Sequence[int], measured: bool) -> str:
    """How to read the UMAP; says where n_neighbors had to be lowered, and names the table of what was `measured`."""
    table = ", so take the table below for any claim" if measured else ""
    lowered = list(neighbours) != [embedding.NEIGHBOURS]
    why = f" (the paper: {embedding.NEIGHBOURS}; lowered because there are fewer points)" if lowered else ""
    return (
        f"Each point is one of {PATCHES} random patches of the test images, seen by one network; near points are "
        "seen alike. Colour: the weights that the network started from; marker: where the patch comes from. "
        "Clouds apart by colour do not mean that the start left its mark: two trainings from the same weights lie "
        f"apart as well. Distances between clouds and the shapes of clouds mean little in a UMAP either{table}. "
        "Globally mean-pooled features, one fit per layer over all weights, n_neighbors "
        f"{', '.join(map(str, neighbours))}{why}, min_dist {embedding.MIN_DISTANCE}, cosine; first finished repeat, "
        "largest fraction."
    )
