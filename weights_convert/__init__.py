"""PyTorch weights to Flax and back, with a receipt: `python -m weights_convert --help`."""
