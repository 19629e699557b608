"""Harsher rules than in production: two simulated devices, no silent change of type or rank, warnings are errors."""

import jax

jax.config.update("jax_num_cpu_devices", 2)
