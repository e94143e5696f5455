"""The parameters from which a run starts: random, or another run's."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh

import model
from model import dims
from model.config import ConfigError
from model.language_model import Params
from train import distributed, placement, programs
from train.config import Config

# Parameters of another run, as host arrays without R.
Load = Callable[[], Params]

# What decides the size of an axis.
FIELDS = {
  'N': 'n_layers', 'D': 'd_model', 'H': 'mixer.n_heads',
  'G': 'mixer.n_kv_heads', 'K': 'mixer.d_head', 'F': 'feed_forward.multiple',
  'W': 'mixer.window', 'V': 'vocab_size', 'T': 'max_length',
  'Y': 'token_types',
}


def initial(config: Config, load: Load | None = None) -> Params:
  """The parameters from which a run starts, bit for bit, as host arrays.

  The same whatever it trains beside, and on any mesh. Tokens that a parent
  does not know get the random rows that the run alone would start from.

  Args:
    config: a complete config.
    load: the parameters of a parent; random ones when not given.

  Raises:
    ConfigError: the parent's parameters are not those of such a model.
  """
  if load is None:
    return _drawn(config)
  parent = flatten_dict(load())
  shapes = {path: x.shape for path, x in flatten_dict(jax.eval_shape(
    lambda: model.init(config.model, jax.random.key(0)))).items()}
  _check(shapes, {path: np.shape(x) for path, x in parent.items()})
  wider = {path for path, x in parent.items() if np.shape(x) != shapes[path]}
  own = flatten_dict(_drawn(config)) if wider else {}
  return unflatten_dict({
    path: _widened(path, x, own[path]) if path in wider
    else np.asarray(x, np.float32) for path, x in parent.items()})


def _widened(path: tuple[str, ...], old: Any, own: np.ndarray) -> np.ndarray:
  """A table of the vocabulary with rows of our own behind the parent's."""
  axis = dims.letters(path[-1]).index('V')
  new = np.split(own, [np.shape(old)[axis]], axis)[1]
  return np.concatenate([np.asarray(old, np.float32), new], axis)


def _check(shapes: dict[tuple[str, ...], tuple[int, ...]],
           parent: dict[tuple[str, ...], tuple[int, ...]]) -> None:
  problems = [problem for path in sorted({*shapes, *parent}) if (
    problem := _problem(path, shapes.get(path), parent.get(path)))]
  if problems:
    more = len(problems) - 1
    raise ConfigError(f'start: {problems[0]}'
                      + (f' (and {more} more)' if more else ''))


def _problem(path: tuple[str, ...], ours: tuple[int, ...] | None,
             theirs: tuple[int, ...] | None) -> str:
  """What is wrong with one of the parent's arrays; '' where it fits."""
  name = '/'.join(path)
  if ours is None or theirs is None:
    return (f'{name} is {theirs or "missing"} in the parent and '
            f'{ours or "missing"} here; give this run the parts that the '
            "parent's model has (model.mixer, position, norm, feed_forward, "
            'unembedding)')
  letters = dims.letters(path[-1])
  letters = 'N' * (len(ours) - len(letters)) + letters
  if len(ours) != len(theirs):
    field = 'layers'
  else:
    differ = [letter for letter, own, other in zip(letters, ours, theirs)
              if own != other and not (letter == 'V' and own > other)]
    if not differ:
      return ''
    field = FIELDS[differ[0]]
  fix = f'give model.{field} the value that the parent has'
  if field == 'vocab_size':
    fix += ', or a larger one'
  return f'{name} is {theirs} in the parent and {ours} here; {fix}'


def _drawn(config: Config) -> Params:
  alone = dataclasses.replace(config.mesh, replica=1)
  shape = dataclasses.replace(programs.shape(config), mesh=alone)
  params_R = _draw(shape, placement.make_mesh(alone))(programs.hyper([config]))
  params: Params = jax.tree.map(lambda x: x[0], distributed.fetch(params_R))
  return params


@functools.cache
def _draw(shape: Config, mesh: Mesh) -> Callable[[Any], Any]:
  program = programs.build(shape, mesh, shared=True)
  return jax.jit(  # without the moments
    lambda hyper: program.params(program.init(hyper)))
