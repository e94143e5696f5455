"""All the randomness that a batch needs, in one draw."""

import jax


def uniform(key: jax.Array, batch_size: int, draws: int) -> jax.Array:
  """Draws `draws` numbers in [0, 1) for each example, (B, draws) float32.

  A generator is inlined into the compiled step wherever it is called, and on a
  CPU each call costs about half a second of compilation, several times as much
  when its last dimension is short. So a source calls this once, and the
  numbers are drawn in one long row.
  """
  return jax.random.uniform(key, (batch_size * draws,)).reshape(
    batch_size, draws)
