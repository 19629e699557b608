"""One run: devices, state, step, loop, validation, checkpoints."""
