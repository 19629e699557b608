"""Validation loss against epochs of every run: was training long enough, did any run go wrong?"""

from matplotlib.figure import Figure

from jaxseg.analysis.figures.style import broken, drawing, key_of, label_panels, legend_below, looks, panels, percent
from jaxseg.analysis.scores import Results
from jaxseg.config import Study


def training_curves(results: Results) -> Figure:
    """Rows: datasets; columns: fractions; one thin line per finished run, dotted: its training loss."""
    study: Study = results.study
    styles = looks(study.weights)
    rows, columns = len(study.datasets), len(study.fractions)
    with drawing(max(4.6, 2.5 * columns + 0.8), 2.5 * rows + 0.6) as figure:
        axes = panels(figure, rows, columns, sharey="row")
        for row, dataset in enumerate(study.datasets):
            for column, fraction in enumerate(study.fractions):
                axis = axes[row, column]
                for state in results.find(dataset=dataset, fraction=fraction):
                    lines = state.folder.read_log()
                    epochs = [line["epoch"] for line in lines]
                    colour = styles[state.run.weights].colour
                    for name, dash, width in (("validation_loss", "-", 1.1), ("training_loss", ":", 0.7)):
                        losses = [line[name] for line in lines]
                        axis.plot(epochs, losses, color=colour, linestyle=dash, linewidth=width, alpha=0.7)
                axis.set_title(broken(f"{dataset}, {percent(fraction)}", 2.3, 9), fontsize=9)
        label_panels(axes, "epochs", "loss")
        legend_below(figure, key_of(styles, marker="", linestyle="-"))
    return figure
