"""Texts as a loaded model reads them, and how fast it does."""

import time

import jax

from experiments.instruments import passages
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.machine.usage import UsageError
from experiments.runs.loaded import Model
from model import count

RATED = 512  # tokens whose reading is timed


def windows(model: Model, name: str, text: str, tokens: int,
            window: int) -> Passages:
  """The beginning of a text, one cluster, in windows.

  What the vocabulary puts around a text stands around each window.

  Args:
    model: which has a tokenizer.
    name: of the text, for messages.
    text: the text.
    tokens: of it, at most.
    window: tokens of one, at most, and no more than the model reads.

  Raises:
    UsageError: there are fewer than two tokens, or the model does not know
      one.
  """
  marked = [int(i) for i in model.tokenize(text)]
  assert model.tokenizer
  bare = [int(i) for i in model.tokenizer.ids(text, marks=False)]
  if len(bare) < 2:
    raise UsageError(f'{name} has fewer than two tokens; give a longer text')
  first = next((i for i in range(len(marked) - len(bare) + 1)
                if marked[i:i + len(bare)] == bare), None)
  before = marked[:first] if first else []
  after = [] if first is None else marked[first + len(bare):]
  bare, size = bare[:tokens], model.config.vocab_size
  if outside := [i for i in bare if i >= size]:
    raise UsageError(f'{name}: {model.tokenizer.token(outside[0])!r} is token '
                     f'{outside[0]}, and {model.name} knows {size}')
  longest = min(window, model.config.max_length or window)
  room = longest - len(before) - len(after)
  if not before and not after:
    return passages.cut([bare], longest)
  cut = passages.cut([before + bare[i:i + room] + after
                      for i in range(0, len(bare), room)], longest)
  return cut._replace(text_B=0 * cut.text_B)


def rate(network: Network, read: Passages) -> float:
  """FLOP/s at which the network reads a part of some passages here."""
  length = read.tokens_BT.shape[1]
  part = next(passages.parts(read, max(1, RATED // length)))
  _read(network, part).block_until_ready()
  started = time.perf_counter()
  _read(network, part).block_until_ready()
  flops = count.flops(network.config, length)
  return len(part.tokens_BT) * (flops.total - flops.unembedding) / (
    time.perf_counter() - started)


@jax.jit
def _read(network: Network, part: Passages) -> jax.Array:
  return network.apply(part).x_BTD
