"""PyTorch on one thread: its threads and XLA's would wait for each other on small machines."""

import torch

torch.set_num_threads(1)
