"""Small models with the weights that they start with, and parts of them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

import model
from model import ModelConfig, NoPosition
from model.sites import Sites

# What is exact is shown without the short cuts that devices take in products.
EXACT = 'highest'
# For what runs a few times: half the time to compile, and the same numbers.
QUICK = {'xla_backend_optimization_level': 0}


def config(kind: str = 'attention', n_heads: int = 2,
           **fields: Any) -> ModelConfig:
  """A small model with a kind of mixer in `model.MIXERS`, without positions."""
  own = {'n_heads': n_heads, 'kernel': 'xla'} if kind == 'attention' else {}
  return ModelConfig(**{
    'n_layers': 1, 'd_model': 16, 'mixer': model.MIXERS[kind](**own),
    'position': NoPosition(), 'parameterisation': 'standard', 'vocab_size': 32,
    'unroll': 1, **fields})


def draw(of: ModelConfig, seed: int) -> Any:
  """The parameters that a seed starts with; a mask makes no difference."""
  return _draw(dataclasses.replace(of, mask='causal'), jax.random.key(seed))


_draw = jax.jit(model.init, static_argnums=0, compiler_options=QUICK)


@dataclasses.dataclass(frozen=True)
class Mixer:
  """The sequence mixer of a model, without norm and residual branch."""

  config: ModelConfig

  def __call__(self, params: Any, x_BTD: jax.Array,
               layer: int | jax.Array = 0) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    module = self.config.mixer.module(self.config)
    y_BTD: jax.Array = module.apply({'params': params}, x_BTD,
                                    jnp.asarray(layer), Sites({}, {}))
    return y_BTD

  def params(self, seed: int) -> Any:
    """Those of the first layer, as a seed starts."""
    one = dataclasses.replace(self.config, n_layers=1)
    return jax.tree.map(lambda leaf_N: leaf_N[0],
                        draw(one, seed)['stack']['mixer'])
