"""Where a model's arrays live; the model says which letters, never which axes.

The model is written once, for any number of devices. It names the dimensions
of what it computes (`model/dims.py`) and hands the array to a layout, which
knows the devices. This one is for a single device; `train/placement.py` has the
one that splits arrays over many.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

# One per axis: a letter of the alphabet, or None for an axis that is never
# split.
Letters = Sequence[str | None]


@dataclasses.dataclass(frozen=True)
class Layout:
  """Everything on one device."""

  def constrain(self, x: jax.Array, letters: Letters,
                gradient: Letters = ()) -> jax.Array:
    """Pins an activation to where its letters belong.

    Args:
      x: the activation.
      letters: one for each of its axes.
      gradient: those of its gradient, where it is to live elsewhere.
    """
    del letters, gradient
    return x

  def parts(self, letter: str, size: int) -> int:
    """Into how many parts an axis of this letter and size is split."""
    del letter, size
    return 1

  def local(self, function: Callable[..., jax.Array],
            letters_in: Sequence[Letters],
            letters_out: Letters) -> Callable[..., jax.Array]:
    """A function that runs on each device's own part of its arguments.

    For what the compiler cannot split by itself, such as a kernel.
    """
    del letters_in, letters_out
    return function

  def parameters(self, tree: Any) -> Any:
    """Pins a tree of parameters, or gradients, to where their keys belong."""
    return tree

  def summed(self, function: Callable[['Layout', Any], Any],
             batch: Any) -> Any:
    """Sums a function of a layout and some examples over all examples.

    For what adds up by itself, such as a gradient by microbatches: devices
    that hold the same parameters sum their own examples first, and then once
    with each other.

    Args:
      function: takes the layout of the examples that it is given.
      batch: arrays that lead with the examples.
    """
    return function(self, batch)
