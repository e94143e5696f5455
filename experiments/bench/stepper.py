"""A process that takes training steps when it is told to.

    python -m experiments.bench.stepper ours --config.mesh.data=2 …

`ours` is the train step that `fathom train` runs, `plain` its peer. Each line
on standard input is a request, and is answered by one line of JSON:

    steps 5       → {"seconds": …, "loss": …}, the loss of the last step
    collectives   → what devices send to each other in a step: by kind, how
                    often, the bytes of the values, the bytes on the wire
    minimum       → the bytes on the wire that the layout needs

Whoever reads from several of these in turn has one of them compute at a time.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from experiments.bench import minimum, plain
from experiments.foresight import collectives
from experiments.machine import process
from experiments.sweeps import flags, overrides
from train import Config, distributed, placement, programs


class Ours:
  """The chunk of steps that the training loop runs."""

  def __init__(self, config: Config):
    """Starts `mesh.replica` runs that differ in their seeds."""
    runs = [overrides.replace(config, {'train.seed': seed})
            for seed in range(config.mesh.replica)]
    self._config = config
    self._mesh = mesh = placement.make_mesh(config.mesh, replicas=len(runs))
    training = programs.build(programs.shape(config), mesh, True)
    instance, _ = programs.instances(runs)
    hyper = programs.hyper(runs)
    self._hyper = distributed.place(hyper, placement.shardings(hyper, mesh))
    self._instance = distributed.place(instance, placement.replicated(mesh))
    self._state = training.init(self._hyper)
    self._chunk = training.chunk
    self._compiled: Any = None
    if config.mesh.compile == 'jit':
      self._compiled = self._chunk = training.chunk.lower(
        self._state, 1, self._hyper, self._instance).compile()

  def take(self, steps: int) -> float:
    """Takes steps, in one call; the loss of the last."""
    self._state, log = self._chunk(self._state, steps, self._hyper,
                                   self._instance)
    return float(np.asarray(log['loss'])[steps - 1].mean())

  def collectives(self) -> dict[str, collectives.Total]:
    """What devices send to each other in one step, by kind."""
    # The loop over steps takes their number as an input, and counts once.
    return collectives.totals(collectives.read(self._compiled.as_text()))

  def minimum(self) -> dict[str, float]:
    """Bytes that a device has to send, with a reduce-scatter and without."""
    return {'scatters': minimum.wire_bytes(self._config, self._mesh),
            'reduces': minimum.wire_bytes(self._config, self._mesh,
                                          scatters=False)}


class Plain:
  """The peer, on the same text."""

  def __init__(self, config: Config):
    """Draws the parameters."""
    source = programs.source_of(config)
    self._text = np.asarray(source.instance(0)['train'])
    self._rng = np.random.default_rng(0)
    self._shape = (config.data.batch_size, source.length)
    update = plain.optimizer(config.train)
    self._step = plain.step(config.model, update)
    self._params = plain.init(config.model, jax.random.key(0))
    self._state = update.init(self._params)

  def take(self, steps: int) -> float:
    """Takes steps, one call for each; the loss of the last."""
    B, T = self._shape
    for _ in range(steps):
      start_B = self._rng.integers(0, len(self._text) - T, B)
      window_BT = self._text[start_B[:, None] + np.arange(T + 1)]
      self._params, self._state, loss = self._step(
        self._params, self._state, window_BT.astype(np.int32))
    return float(loss)


KINDS: dict[str, type[Ours] | type[Plain]] = {'ours': Ours, 'plain': Plain}


def answer(training: Ours | Plain, request: str) -> dict[str, Any]:
  """Does what a line asks for."""
  name, _, steps = request.partition(' ')
  if name != 'steps':
    return dict(getattr(training, name)())
  start = time.perf_counter()
  loss = training.take(int(steps))
  return {'seconds': time.perf_counter() - start, 'loss': loss}


def main(arguments: Sequence[str]) -> None:
  """Answers until standard input ends."""
  process.end_with(os.getppid())
  kind, *rest = arguments
  texts, _ = flags.split(rest)
  config = overrides.replace(Config(), overrides.parse(Config(), texts))
  training = KINDS[kind](config)
  for line in sys.stdin:
    print(json.dumps(answer(training, line.strip())), flush=True)


if __name__ == '__main__':
  main(sys.argv[1:])
