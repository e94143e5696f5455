"""Arrays of the host, on their way from a file to a device.

What stands here is for speed and memory alone: with plain NumPy in its place
the values would be the same.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

BLOCK = 2**24  # numbers read at a time: 64 MiB
# One line of a processor's cache; an array is turned several times as fast when
# no other numbers come between those of a line.
STRIPE = 16
# XLA:CPU uses an array in place, instead of copying it, at such an address.
ALIGNMENT = 64  # bytes


def blocks(shape: Sequence[int], size: int) -> Iterator[tuple[slice, ...]]:
  """Cuts an array along its first axis into blocks of about `size` numbers."""
  rows = max(1, size // math.prod(shape[1:]))
  for start in range(0, shape[0], rows):
    yield (slice(start, min(start + rows, shape[0])),
           *(slice(0, length) for length in shape[1:]))


def empty(shape: Sequence[int]) -> np.ndarray:
  """A float32 array that XLA:CPU takes over without a copy."""
  size = 4 * math.prod(shape)
  memory = np.empty(size + ALIGNMENT, np.uint8)
  start = -memory.ctypes.data % ALIGNMENT
  return memory[start:start + size].view(np.float32).reshape(shape)


def copy(out: np.ndarray, part: np.ndarray) -> None:
  """Copies, in stripes where the order of the axes is another."""
  width = part.shape[-1] if part.flags.c_contiguous else STRIPE
  for start in range(0, part.shape[-1], width):
    stripe = (..., slice(start, start + width))
    out[stripe] = part[stripe]
