"""Harsher rules than in production: two simulated devices, no silent change of type or rank, warnings are errors."""

import jax

jax.config.update("jax_num_cpu_devices", 2)
# With several simulated devices on few cores, collectives of two steps in flight can wait for each other's threads.
jax.config.update("jax_cpu_enable_async_dispatch", False)
