"""The part `decode`: one more token from memory, and by reading all again."""

import functools
import time
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import model
from experiments.bench import sizes, turns
from experiments.bench.sizes import SIZES
from experiments.bench.turns import Take
from model import ModelConfig, generation
from train import Config

GREEDY = generation.Sampling(temperature=0)


def report(names: Sequence[str], seconds: float) -> None:
  """Prints tokens per second of one text, half of it written."""
  print('\ndecode: the second half of one text, tokens/s\n\n'
        'size  from memory   reading all again')
  for name in names:
    config = sizes.single(SIZES[name])
    times = turns.measure(takes(config), seconds)
    memory, again = (1 / np.median(times[way]) for way in ('memory', 'again'))
    print(f'{name:4} {memory:12.1f} {again:19.1f}   '
          f'{turns.ratio(times, "again", "memory"):.1f} times as fast',
          flush=True)


def takes(config: Config) -> Mapping[str, Take]:
  """What takes so many tokens, compiled, by name; see `turns.measure`."""
  whole = config.model
  params = jax.jit(functools.partial(model.init, whole))(jax.random.key(0))
  length = whole.max_length
  ids_BT = np.random.default_rng(0).integers(
    whole.vocab_size, size=(1, length), dtype=np.int32)

  def memory(steps: int) -> float:
    spent = 0.0
    while steps > 0:
      said = generation.stream(whole, params, [*ids_BT[:, :length // 2]],
                               length, GREEDY)
      next(said)  # reads the first half
      start = time.perf_counter()
      for _, _ in zip(range(steps), said):
        steps -= 1
      spent += time.perf_counter() - start
    return spent

  def again(steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
      np.asarray(_likeliest(whole, params, ids_BT))
    return time.perf_counter() - start

  found: dict[str, Take] = {'memory': memory, 'again': again}
  for take in found.values():
    take(1)
  return found


@functools.partial(jax.jit, static_argnums=0)
def _likeliest(config: ModelConfig, params: model.language_model.Params,
               ids_BT: jax.Array) -> jax.Array:
  hidden = model.hidden(config, params, ids_BT)
  return jnp.argmax(hidden.x_BTD[:, -1] @ hidden.w_DV, axis=-1)
