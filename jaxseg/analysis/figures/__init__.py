"""One file per figure; each takes tables and returns a matplotlib Figure that `style.save` writes."""
