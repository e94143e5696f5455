"""Other links that tokens could have had, with as many to each token.

Links end at some tokens oftener than at others, and the vectors of such tokens
may lie near all others. What a score tells of links is what it tells of the
planted ones beyond these.
"""

import numpy as np

COUNT = 200
ROUNDS = 30  # in each, about one token of seven gets another link


def relinked(link_V: np.ndarray, far_VV: np.ndarray,
             rng: np.random.Generator) -> np.ndarray:
  """Shuffles who is linked to whom, (COUNT, V), by swaps of two links' ends.

  Each token is linked to one of a far cluster as before, and as many are linked
  to each (a chain of swaps of edges: Rao, Jana and Bandyopadhyay, 1996).

  Args:
    link_V: to what each token is linked.
    far_VV: bool, to what each may be.
    rng: draws which are swapped.
  """
  link_V, drawn = link_V.copy(), []
  for _ in range(COUNT):
    for _ in range(ROUNDS):
      even = len(link_V) // 2 * 2
      one, other = rng.permutation(len(link_V))[:even].reshape(2, -1)
      swapped = far_VV[one, link_V[other]] & far_VV[other, link_V[one]]
      one, other = one[swapped], other[swapped]
      link_V[one], link_V[other] = link_V[other], link_V[one]
    drawn.append(link_V.copy())
  return np.array(drawn)


def linked(link_RV: np.ndarray) -> np.ndarray:
  """Whether a token (first axis) is linked to another: bool, (R, V, V)."""
  return link_RV[..., None] == np.arange(link_RV.shape[-1])
