"""How large weights start, and how much each branch counts, as depth grows.

`standard`: weights start with standard deviation 1/sqrt(fan in), those that
write to the residual stream divided by sqrt(residual branches), so that the
stream's variance at the start does not grow with depth (Radford et al., 2019).

`gpt2`: as the published code has it, every matrix starts with standard
deviation 0.02, whatever its fan in; those that write to the stream as above.

`completep` (Dey et al., 2025, alpha = 1): residual branches are multiplied by
base_layers / n_layers, and the logits by base_width / d_model, so that the
learning rate found at the base size serves every depth and width. The
optimizer's share of it needs to know each parameter's `group`.

The initializers here fill a parameter with its standard deviation; `draw` then
makes all of them random at once. A draw for each would be the same weights in
law, and much longer to compile; only a model so large that one device may not
hold all its noise pays that.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.nn import initializers

from model.config import ModelConfig
from model.layout import Layout

# Radford et al., 2019 (GPT-2), for token and position embeddings alike.
EMBEDDING_STD = 0.02

# So many random numbers are drawn at once, into one vector that no device can
# hold in part: 512 MiB.
TOGETHER = 2**27

Group = Literal['embedding', 'hidden', 'vector', 'unembedding']


def embedding() -> initializers.Initializer:
  """Starts a table of embeddings; the same at every width."""
  return initializers.constant(EMBEDDING_STD)


def hidden(config: ModelConfig, fan_in: int) -> initializers.Initializer:
  """Starts a matrix inside a block, which sums over `fan_in` inputs."""
  return initializers.constant(_spread(config, fan_in))


def output(config: ModelConfig, fan_in: int) -> initializers.Initializer:
  """Starts a matrix that writes to the residual stream."""
  std = _spread(config, fan_in)
  if config.parameterisation != 'completep':
    branches = 2 if config.ff_width else 1
    std /= math.sqrt(branches * config.n_layers)
  return initializers.constant(std)


def _spread(config: ModelConfig, fan_in: int) -> float:
  """The standard deviation that a matrix starts with."""
  if config.parameterisation == 'gpt2':
    return EMBEDDING_STD
  return 1 / math.sqrt(fan_in)


def unembedding(config: ModelConfig) -> initializers.Initializer:
  """Starts the matrix that makes the logits.

  CompleteP keeps its scale at every width, since the logits are multiplied
  instead; at the base width both parameterisations are the same.
  """
  completep = config.parameterisation == 'completep'
  return initializers.constant(_spread(
    config, config.base_width if completep else config.d_model))


def residual_multiplier(config: ModelConfig) -> float:
  """What a branch's output is multiplied by before it joins the stream."""
  if config.parameterisation != 'completep':
    return 1.0
  return config.base_layers / config.n_layers


def logit_multiplier(config: ModelConfig) -> float:
  """What the logits are multiplied by."""
  if config.parameterisation != 'completep':
    return 1.0
  return config.base_width / config.d_model


def group(path: Sequence[Any]) -> Group:
  """Says how a parameter scales: what an optimizer treats it as.

  Args:
    path: the parameter's path, as strings or as jax's key path.

  Returns:
    'embedding' (token and position tables), 'hidden' (matrices of the stack),
    'vector' (norms, biases, decays) or 'unembedding'.
  """
  names = [str(getattr(part, 'key', part)) for part in path]
  if names[-1].startswith('embedding_'):
    return 'embedding'
  if not names[-1].startswith('w_'):
    return 'vector'
  return 'unembedding' if 'unembedding' in names else 'hidden'


def draw(layout: Layout, key: jax.Array, deviations: Any,
         scale: float | jax.Array) -> Any:
  """Makes a tree of standard deviations into a tree of parameters.

  How the noise is drawn depends on the model's size alone, never on the
  devices, so a model starts the same on any of them.

  Args:
    layout: where what is drawn may live before it is cut.
    key: a typed random key.
    deviations: parameters as the initializers fill them.
    scale: multiplies what is random; vectors are not, and stay as they are.
  """
  leaves, tree = jax.tree_util.tree_flatten_with_path(deviations)
  random = [i for i, (path, _) in enumerate(leaves) if group(path) != 'vector']
  drawn = [value for _, value in leaves]
  shapes = [drawn[i].shape for i in random]
  small = sum(map(math.prod, shapes)) <= TOGETHER
  noises = (_together(layout, key, shapes, scale) if small else
            _apart(key, shapes, scale))
  for i, noise in zip(random, noises):
    drawn[i] = drawn[i] * noise
  return jax.tree_util.tree_unflatten(tree, drawn)


def _together(layout: Layout, key: jax.Array, shapes: Sequence[tuple[int, ...]],
              scale: float | jax.Array) -> list[jax.Array]:
  """One draw, cut into pieces."""
  sizes = [math.prod(shape) for shape in shapes]
  # Whole on each device: pieces of a split line do not end where parameters are
  # split, and the compiler would warn of what it makes of that.
  noise = scale * jax.random.normal(key, (sum(sizes),))
  noise = layout.constrain(noise, (None,))
  return [noise[end - size:end].reshape(shape)
          for shape, size, end in zip(shapes, sizes, np.cumsum(sizes))]


def _apart(key: jax.Array, shapes: Sequence[tuple[int, ...]],
           scale: float | jax.Array) -> list[jax.Array]:
  """A draw for each, which is split over devices as its parameter is."""
  return [scale * jax.random.normal(jax.random.fold_in(key, i), shape)
          for i, shape in enumerate(shapes)]
