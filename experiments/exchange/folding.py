"""The same function in other words: a config with fewer switches.

Formats of others know no multipliers and no layers that are shared. What those
do is put into the parameters: exactly, but for the last digit of a product.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

import model
from model import parameterisation
from model.attention import AttentionConfig
from model.config import ModelConfig
from model.feed_forward import GatedFeedForward, PlainFeedForward
from model.language_model import Params
from model.position import LearnedPosition, SinusoidalPosition

# Parameters that write to the residual stream; what the branches read through;
# and what the unembedding does.
WRITES = ('stack/mixer/w_o_HKD', 'stack/mixer/b_o_D',
          'stack/ffn/w_down_FD', 'stack/ffn/b_down_D')
READS = ('stack/mixer_norm/scale_D', 'stack/mixer_norm/b_D',
         'stack/ffn_norm/scale_D', 'stack/ffn_norm/b_D')
ENDS = ('norm/scale_D', 'norm/b_D')


def simple(config: ModelConfig) -> ModelConfig:
  """Without multipliers, shared layers, and what only changes the speed."""
  placement = config.norm_placement
  return dataclasses.replace(
    config, layers='separate', parameterisation='standard', dtype='float32',
    unroll=1, remat='none',
    norm_placement='pre' if placement == 'scaled' else placement)


def biased(config: ModelConfig) -> ModelConfig:
  """With every bias that there can be: 0 where there was none."""
  mixer, feed_forward = config.mixer, config.feed_forward
  if isinstance(mixer, AttentionConfig):
    mixer = dataclasses.replace(mixer, qkv_bias=True, out_bias=True)
  if isinstance(feed_forward, PlainFeedForward | GatedFeedForward):
    feed_forward = dataclasses.replace(feed_forward, bias=True)
  return dataclasses.replace(config, mixer=mixer, feed_forward=feed_forward)


def tabled(config: ModelConfig) -> ModelConfig:
  """With positions in a table, where they are waves."""
  if not isinstance(config.position, SinusoidalPosition):
    return config
  return dataclasses.replace(config, position=LearnedPosition())


def fold(config: ModelConfig, params: Params, target: ModelConfig) -> Params:
  """The parameters with which `target` computes what `config` does.

  Args:
    config: of the parameters.
    params: as `model.init` makes them.
    target: what functions of this module made of `config`.
  """
  flat = flatten_dict(params, sep='/')
  if config.layers == 'tied':
    flat |= {path: np.broadcast_to(x, (config.n_layers, *x.shape))
             for path, x in flat.items() if path.startswith('stack/')}
  _multiply(flat, WRITES, parameterisation.residual_multiplier(config))
  # Of the logits: on the norm before them, so that a tied table stays tied.
  _multiply(flat, ENDS, parameterisation.logit_multiplier(config))
  if config.norm_placement == 'scaled':
    depth_N = np.arange(1, config.n_layers + 1, dtype=np.float32)
    _multiply(flat, READS, 1 / np.sqrt(depth_N)[:, None])
  if config.position != target.position:
    flat['position_embedding/embedding_TD'] = _waves_TD(config, flat)
  shapes = flatten_dict(jax.eval_shape(
    lambda: model.init(target, jax.random.key(0))), sep='/')
  for path in shapes.keys() - flat.keys():
    assert path.rpartition('/')[2].startswith('b_'), path
    flat[path] = np.zeros(shapes[path].shape, np.float32)
  folded: Params = unflatten_dict(flat, sep='/')
  return folded


def _multiply(flat: dict[str, np.ndarray], paths: tuple[str, ...],
              by: float | np.ndarray) -> None:
  if np.all(by == 1):
    return
  for path in paths:
    if path in flat:
      x = np.asarray(flat[path])
      by_x = np.float32(by)
      flat[path] = x * by_x.reshape(by_x.shape + (1,) * (x.ndim - by_x.ndim))


def _waves_TD(config: ModelConfig, flat: dict[str, np.ndarray]) -> np.ndarray:
  """What positions add: the stream that enters where tokens add nothing."""
  silent = {**flat, 'token_embedding/embedding_VD': jnp.zeros(
    (config.vocab_size, config.d_model))}
  plain = dataclasses.replace(config, dtype='float32')
  x_BTD = model.embed(plain, unflatten_dict(silent, sep='/'),
                      jnp.zeros((1, config.max_length), jnp.int32))
  return np.asarray(x_BTD[0])
