"""A run as instruments are handed it: its own parameters, before training and
after, and held-out examples of its own source.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np

from experiments.instruments import passages
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.machine.usage import UsageError
from experiments.runs.instrument import Measure
from experiments.runs.subject import Row, Subject
from model import ConfigError
from train import programs
from train.config import Config

TOKENS = 4096  # of the passages, and of what is fitted on, at most
# The one row of an instrument that could not be taken; `why` is its place.
REFUSED = 'refused'


@functools.lru_cache(maxsize=1)  # instruments are taken one after the other
def given(subject: Subject) -> Given:
  """What instruments look into of a trained run.

  The passages are its first held-out examples, scored where the source scores
  them; the next ones are for fitting. Seeds of one shape get arrays of one
  shape, so what is compiled for one serves them all.

  Raises:
    UsageError: its source has fewer than two held-out examples.
  """
  read, calibration = _examples(subject)
  config = subject.config.model
  before = subject.untrained
  return Given(
    Network(jax.device_put(subject.params), config), read, calibration,
    subject.tokenizer,
    untrained=Network(jax.device_put(before), config) if before else None)


def _examples(subject: Subject) -> tuple[Passages, Passages]:
  """What is read, and what is fitted on: none of it is read."""
  half = _half(subject.config)
  if not half:
    raise UsageError(f'run {subject.id} has a single held-out example, and '
                     'instruments are fitted on others than they read; give '
                     'it more text')
  both = passages.of_batch(subject.held_out(2 * half))
  read, rest = (Passages(*(x[part] for x in both))
                for part in (slice(half), slice(half, None)))
  known = {row.tobytes() for row in read.tokens_BT}
  fresh_B = np.array([row.tobytes() not in known for row in rest.tokens_BT])
  return read, rest._replace(
    weights_BT=rest.weights_BT * fresh_B[:, None],
    valid_BT=rest.valid_BT & fresh_B[:, None])


def _half(config: Config) -> int:
  """How many held-out examples are read, and as many are fitted on."""
  source = programs.own_source(config)
  windows = source.evaluation_steps('validation', 1)
  half = max(1, TOKENS // source.length)
  return half if windows is None else min(half, windows // 2)


def tokens(config: Config) -> int:
  """How many tokens of a run are read."""
  return _half(config) * programs.own_source(config).length


def measure(instrument: Instrument) -> Measure:
  """An instrument as a measurement, to be kept beside the runs that it is of.

  Known by what it does: what is said of it in words is no part of it.
  """
  return functools.partial(_rows, instrument.measure, instrument.refusal)


def _rows(take: Callable[[Given], list[Row]], refusal: Callable[[Given], str],
          subject: Subject) -> list[Row]:
  look = given(subject)
  why = refusal(look)
  if not why:
    try:
      return take(look)
    except (UsageError, ConfigError) as error:
      why = str(error)
  return [Row(REFUSED, 0.0, {'why': why})]
