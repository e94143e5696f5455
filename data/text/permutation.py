"""The order in which training meets its windows, one index at a time.

A keyed pseudo-random permutation of range(n) that is computed, not stored: any
process can ask for any place of any epoch, so a batch is a function of (seed,
step) and resuming needs one integer. It is a Feistel network (Luby and
Rackoff, 1988, "How to construct pseudorandom permutations from pseudorandom
functions") over the least power of two that is not below n, and what falls
outside the range goes through it again until it falls inside (cycle walking;
Black and Rogaway, 2002, "Ciphers with arbitrary finite domains").

The same code runs on NumPy arrays, on the host, and on traced JAX arrays,
inside a compiled step; both give the same order.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Array = TypeVar('Array', np.ndarray, jax.Array)

# Four rounds would do if the round function were ideal (Luby and Rackoff); the
# hash below is not, and its halves are small.
ROUNDS = 8

# The largest range: indices are words of 32 bits, which is what both sides of
# the order can compute with.
LARGEST = 2**32 - 1

_GOLDEN = 0x9e3779b9  # spreads the numbers of the rounds


def window(example: Array, windows: int, seed: Array | int) -> Array:
  """Which window is met as the `example`-th of training.

  Examples e·windows to (e + 1)·windows - 1 are epoch e: each window once, in
  an order of the epoch's own.

  Args:
    example: unsigned, (B,): step · batch size + row. uint64 on the host; a
      traced one has 32 bits, so after 4.3 billion examples it would start
      again.
    windows: how many there are, 1 to `LARGEST`.
    seed: what else the order depends on; 32 bits.

  Returns:
    uint32, (B,), each in range(windows).
  """
  count = np.uint32(windows)
  return permute((example % count).astype(np.uint32), windows, seed,
                 (example // count).astype(np.uint32))


def permute(index: Array, size: int, seed: Array | int,
            epoch: Array | int) -> Array:
  """Where a permutation of range(size) takes each index.

  Args:
    index: uint32, (B,), each below `size`.
    size: 1 to `LARGEST`; decides the shape of the computation, so it is never
      traced.
    seed: one 32-bit word of the key.
    epoch: the other; one, or (B,).

  Returns:
    uint32, (B,). Two calls with equal `size`, `seed` and `epoch` never return
    the same value for different indices.
  """
  assert 1 <= size <= LARGEST, size
  bits = (size - 1).bit_length()
  keys = _round_keys(index, seed, epoch)
  if isinstance(index, np.ndarray):
    index = _feistel(index, bits, keys)
    while (outside := index >= size).any():
      index = np.where(outside, _feistel(index, bits, keys), index)
    return index
  return jax.lax.while_loop(
    lambda i: jnp.any(i >= np.uint32(size)),
    lambda i: jnp.where(i >= np.uint32(size), _feistel(i, bits, keys), i),
    _feistel(index, bits, keys))


def _feistel(index: Array, bits: int, keys: list[Array]) -> Array:
  """A permutation of range(2^bits): the halves hash each other in turns.

  The halves differ by a bit where `bits` is odd, so that less than half of the
  range has to walk on.
  """
  low = bits // 2
  low_mask = np.uint32(2**low - 1)
  high_mask = np.uint32(2**(bits - low) - 1)
  left, right = index >> np.uint32(low), index & low_mask
  for i, key in enumerate(keys):
    if i % 2:
      right = right ^ (_mix(left ^ key) & low_mask)
    else:
      left = left ^ (_mix(right ^ key) & high_mask)
  return (left << np.uint32(low)) | right


def _round_keys(index: Array, seed: Array | int,
                epoch: Array | int) -> list[Array]:
  """One word for each round and example, out of both words of the key."""
  # Arrays of the shape of `index`: NumPy warns when a scalar wraps around.
  zero = index & np.uint32(0)
  seeds, epochs = zero + _word(seed), zero + _word(epoch)
  first = _mix(_mix(seeds + np.uint32(_GOLDEN)) + epochs)
  second = _mix(_mix(epochs ^ np.uint32(_GOLDEN)) + seeds)
  return [_mix(first + np.uint32(i * _GOLDEN % 2**32)) ^ second
          for i in range(ROUNDS)]


def _word(value: Array | int) -> Array | np.uint32:
  return np.uint32(value % 2**32) if isinstance(value, int) else (
    value.astype(np.uint32))


def _mix(word: Array) -> Array:
  """A hash of 32 bits with little bias: lowbias32 (Wellons, 2018)."""
  word = (word ^ (word >> np.uint32(16))) * np.uint32(0x7feb352d)
  word = (word ^ (word >> np.uint32(15))) * np.uint32(0x846ca68b)
  return word ^ (word >> np.uint32(16))
