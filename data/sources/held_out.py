"""Splits of inputs so short that the same ones come again and again.

A hash of what the model reads says to which split it belongs, with all of its
completions. A source draws whole examples, more than it needs, and keeps those
that belong: what is asked for then has, given what is read, the distribution it
always had, so that exact inference stays exact. (To draw a sentence and then
choose among its masks would not keep it: sentences with few masks that fit
would come too often under those.)
"""

import jax
import jax.numpy as jnp
import numpy as np

# Of 8 inputs one is for validation and one for tests; the others are to train.
PARTS = 8
PLACE = {'validation': 0, 'test': 1}


def belongs(tokens_BT: jax.Array, split: str) -> jax.Array:
  """Whether each input is one of a split's, bool (B,)."""
  part_B = _part(tokens_BT)
  if split in PLACE:
    return part_B == PLACE[split]
  return part_B >= len(PLACE)


def drawn(batch_size: int, split: str) -> int:
  """Of how many examples `choose` picks: a quarter more than on average do."""
  share = 1 if split in PLACE else PARTS - len(PLACE)
  return -(-5 * PARTS * batch_size // (4 * share))


def choose(tokens_BT: jax.Array, split: str,
           batch_size: int) -> tuple[jax.Array, jax.Array]:
  """Which of the examples that were drawn make the batch.

  Args:
    tokens_BT: what the model reads of each; `drawn` of them.
    split: in which the batch is.
    batch_size: B of the batch.

  Returns:
    (batch_size,) int, places in `tokens_BT`: the first that belong, and too few
    again; and bool (), whether any do. (Of the tiniest trees none may.)
  """
  belongs_B = belongs(tokens_BT, split)
  first_B = jnp.argsort(~belongs_B, stable=True)
  count = jnp.sum(belongs_B)
  return (first_B[jnp.arange(batch_size) % jnp.maximum(count, 1)], count > 0)


def _part(tokens_BT: jax.Array) -> jax.Array:
  """The part, 0 to PARTS - 1, of each input, uint32 (B,).

  A multilinear hash (Carter and Wegman, 1979), then the finisher of MurmurHash3
  (Appleby, 2011), through which every bit counts for all.
  """
  factor_T = np.random.default_rng(0).integers(
    2**32, size=tokens_BT.shape[1], dtype=np.uint32)
  hash_B = jnp.sum((tokens_BT + 1).astype(jnp.uint32) * factor_T, axis=1,
                   dtype=jnp.uint32)
  for shift, factor in ((16, 0x85ebca6b), (13, 0xc2b2ae35)):
    hash_B = (hash_B ^ (hash_B >> shift)) * jnp.uint32(factor)
  return (hash_B ^ (hash_B >> 16)) % PARTS
