"""Layer streaming (card L1, statement A5).

The primer: the whole model must be loaded to apply it.

Literal reading: all weights must be in memory at once. One pass that reads one
layer at a time from the file, and drops it before the next, shows that this is
not so. That it gives the same bits, and that it holds no more than it says, are
what makes it such a pass: controls, without which nothing is shown. (That all
*must* be in memory no pass could show, so this stratum is never supported.)
Charitable reading: all layers must be read for the exact output. It is shown of
random weights; the stratum is conditional if none of their layers can be left
out, and refuted if one can.

What is in memory is measured, not assumed (`held`), each time after an array of
weights was read: what a layer needs for a moment while it is computed is not
seen. The pages of the file that the system keeps are not counted, since it may
drop them at any time.
"""

import functools
import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from safetensors import safe_open
from safetensors.numpy import load_file

import model
from experiments.claims.exact import figures, layer, words
from experiments.claims.exact.counterexample import beyond, largest
from experiments.judge.declaration import Control, Property, Rule, Stratum
from experiments.runs.store import PARAMS, Store
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact
from model import Layout, ModelConfig
from model.block import Block
from model.rows import Rows

MIXERS = ('attention', 'gru')
LAYERS = 8
WIDTH = 128
VOCABULARY = 2048
LENGTH = 16

Look = Callable[[np.ndarray], None]  # told of each array that is read
Pass = Callable[[ModelConfig, Path, np.ndarray, Look], np.ndarray]


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case for each of two kinds of mixer."""
  del preset, pins
  return tuple(Cell('streaming', kind, Exact(('stream', kind, LAYERS)))
               for kind in MIXERS)


def measure(subject: Subject) -> list[Row]:
  """Whether a streamed pass is the whole model's, and what it holds."""
  _, kind, n_layers = subject.case
  config = layer.config(kind, n_layers=n_layers, d_model=WIDTH,
                        vocab_size=VOCABULARY)
  with tempfile.TemporaryDirectory() as folder:
    store = Store(Path(folder))
    store.keep_params('model', jax.device_get(layer.draw(config, 0)))
    return compared(config, store.run('model') / PARAMS, stream)


def compared(config: ModelConfig, path: Path, run: Pass) -> list[Row]:
  """A pass over weights in a file against one with all of them in memory.

  Args:
    config: of the model.
    path: its parameters, as runs keep them.
    run: the pass.
  """
  tokens_BT = np.random.default_rng(0).integers(
    config.vocab_size, size=(1, LENGTH))
  given = config, path, tokens_BT
  run(*given, _unseen)  # compiles
  logits_BTV, most = held(functools.partial(run, *given))
  whole_BTV = whole(*given, _unseen)
  sizes = {key: x.nbytes for key, x in load_file(path).items()}
  total = sum(sizes.values())
  stack = sum(n for key, n in sizes.items() if key.startswith('stack/'))
  allowed = total - stack + stack / config.n_layers
  rows = [Row('bits_that_differ', (logits_BTV != whole_BTV).sum()),
          Row('bytes_in_memory', most), Row('bytes_of_the_model', total),
          Row('bytes_in_memory_over_allowed', most / allowed),
          Row('share_of_the_model_in_memory', most / total)]
  for skipped in range(config.n_layers):
    without_BTV = stream(*given, _unseen, skipped)
    rows.append(Row('change_without_it', np.abs(
      without_BTV - whole_BTV).max(), {'layer': skipped}))
  return rows


def whole(config: ModelConfig, path: Path, tokens_BT: np.ndarray,
          look: Look) -> np.ndarray:
  """The logits, with all weights in memory."""
  return np.asarray(_apply(config, read(path, look, ''), tokens_BT))


def stream(config: ModelConfig, path: Path, tokens_BT: np.ndarray, look: Look,
           skipped: int = -1) -> np.ndarray:
  """The logits, with one layer's weights in memory at a time.

  Args:
    config: of the model.
    path: its parameters.
    tokens_BT: token ids.
    look: called with each array that was read.
    skipped: a layer that is left out.
  """
  x_BTD = _once(_embed, config, read(path, look, 'token_embedding/'), tokens_BT)
  for number in range(config.n_layers):
    if number != skipped:
      x_BTD = _once(_block, config, read(path, look, 'stack/', index=number),
                    x_BTD, number)
  return np.asarray(_once(
    _unembed, config, read(path, look, 'norm/', 'unembedding/'), x_BTD))


def _once(function: Callable[..., jax.Array], config: ModelConfig, params: Any,
          *given: Any) -> jax.Array:
  """What a function gives of weights, which are gone when it returns."""
  out = function(config, params, *given).block_until_ready()
  for weights in jax.tree.leaves(params):
    weights.delete()
  return out


def read(path: Path, look: Look, *parts: str, index: Any = slice(None)) -> Any:
  """Parameters whose names begin so; of stacked ones those of a layer.

  One after the other, so that no more than one is held twice: as it was read,
  and as JAX's.
  """
  found = {}
  with safe_open(path, 'numpy') as file:
    for name in sorted(file.keys()):
      if name.startswith(parts):
        given = file.get_slice(name)[index]
        found[name] = jnp.array(given).block_until_ready()
        look(given)
  return unflatten_dict(found, sep='/')


@functools.partial(jax.jit, static_argnums=0)
def _apply(config: ModelConfig, params: Any, tokens_BT: Any) -> jax.Array:
  return model.apply(config, params, tokens_BT).logits_BTV


@functools.partial(jax.jit, static_argnums=0)
def _block(config: ModelConfig, params: Any, x_BTD: jax.Array,
           number: jax.Array) -> jax.Array:
  out_BTD: jax.Array = Block(config, {}, Layout()).apply(
    {'params': params['stack']}, x_BTD, number, {}, Rows())[0]
  return out_BTD


_embed = jax.jit(model.embed, static_argnums=0)
_unembed = jax.jit(model.unembed, static_argnums=0)


def held(run: Callable[[Look], np.ndarray]) -> tuple[np.ndarray, int]:
  """What a pass gives, and the most bytes that it held at a time.

  Seen after each array that is read; what a program holds while it runs is not.
  Those are of all arrays that JAX has (weights and activations; what it had
  before does not count) and of the one that was just read.
  """
  gc.collect()
  before, most = _live(), 0

  def look(given: np.ndarray) -> None:
    nonlocal most
    most = max(most, _live() - before + given.nbytes)

  result = run(look)
  return result, most


def _live() -> int:
  return sum(x.nbytes for x in jax.live_arrays())


def _unseen(given: np.ndarray) -> None:
  """Nobody looks."""


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  same = Control(
    'the same bits', 'How many logits of a pass that reads one layer at a time '
    'are not those of the whole model, bit for bit.', functools.partial(
      largest, metric='bits_that_differ'), at_most=0.0)
  little = Control(
    'one layer at a time', 'The bytes that it holds, activations between '
    'layers included, over those of the embeddings and of one layer in '
    f'{LAYERS}.', functools.partial(
      largest, metric='bytes_in_memory_over_allowed'), at_most=1.0)
  needed = Property(
    'every layer is needed', 'Of random weights: without any one layer the '
    'logits are others, by more than 1e-3.', functools.partial(
      beyond, metric='change_without_it', at_least=1e-3))
  literal = Property(
    'literal: all at once', 'The exact logits take as many bytes in memory as '
    'the model has, sampled after each array of weights is read (what a block '
    'holds while it is computed is not counted).', functools.partial(
      beyond, metric='share_of_the_model_in_memory', at_least=1.0))
  return Stratum(
    name='streaming',
    title='Layer streaming (A5): the whole model must be loaded to apply it',
    prediction='One layer at a time in memory gives the same bits, so not all '
    'need be there at once; but all must be read: of random weights no layer '
    'can be left out. (Memory is sampled after each array of weights is read.)',
    refutation='Not all need be in memory at once, and of random weights a '
    'layer can be left out.',
    properties=(needed, literal),
    controls=(same, little),
    rule=Rule(
      supported=((needed.name, 'holds'), (literal.name, 'holds')),
      refuted=((needed.name, 'fails'), (literal.name, 'fails')),
      conditional=((needed.name, 'holds'),)),
    tier='E0')


PART = Part('streaming', sweep, measure, declare, figures.none,
            sentence=words.readings)
