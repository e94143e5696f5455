"""How a trained model is taught new tokens: the runs of all strata.

Parents are trained on old text alone; a method goes on from there. Retraining
starts anew, with as many tokens in all and the texts in the same proportion.
Each seed is a chain, a draw of parameters and an order of the data of its own.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data.config import DataConfig
from data.sources.generative_replay import GenerativeReplayConfig
from data.sources.mixture import MixtureConfig, Part
from data.sources.new_tokens import NewTokensConfig
from experiments.sweeps import overrides
from experiments.sweeps.algebra import Cell, Pins, zipped
from experiments.sweeps.task import Train
from model import AttentionConfig, ModelConfig
from train.config import Config, TrainConfig
from train.trainable import All, LowRank, NewRows, Trainable

SIMILARITIES = (0.0, 0.25, 0.5, 1.0)
ENDS = (0.0, 1.0)
WIDTH, WIDE = 32, 48
# Of new tokens after an old one, in new text: the more, the less of the old
# rules is rehearsed there.
SHARE, DENSE = 0.5, 0.9
SEEDS = {'smoke': range(2), 'cpu': range(8, 16)}
# Of the parent, and of what follows.
STEPS = {'smoke': (6, 4), 'cpu': (400, 200)}
PARENT_RATE = 1e-2

BASE = Config(
  model=ModelConfig(n_layers=2, d_model=WIDTH, base_width=WIDTH,
                    mixer=AttentionConfig(n_heads=2), norm='rms'),
  # As many rows as make one in a hundred possible.
  data=DataConfig(NewTokensConfig(), batch_size=96),
  train=TrainConfig(learning_rate=PARENT_RATE, evaluation_batches=1))
FIRST_NEW = 48
OWN_TEXTS = 512  # that the parent writes, where it does


@dataclasses.dataclass(frozen=True)
class Method:
  """One way to learn new tokens.

  Attributes:
    rates: the learning rate by similarity, found in pilots; between two of
      them, that of the lower one.
    dense: the rate where new tokens follow most of the old ones, if another.
    replay: the share of old text in each batch.
    own: whether the parent writes that text itself.
    trainable: what of the model moves.
    anew: whether it starts from random parameters.
  """

  rates: Mapping[float, float]
  dense: float | None = None
  replay: float = 0.0
  own: bool = False
  trainable: Trainable = All()
  anew: bool = False

  def rate(self, similarity: float, share: float) -> float:
    """The learning rate at a similarity and a share of new tokens."""
    if share == DENSE and self.dense:
      return self.dense
    return self.rates[max(s for s in self.rates if s <= similarity)]

  def source(self, similarity: float, share: float = SHARE) -> Any:
    """The text that it reads."""
    new, old = NewTokensConfig('new', similarity, share), NewTokensConfig()
    if not self.replay:
      return new
    written = GenerativeReplayConfig(old, OWN_TEXTS)
    return MixtureConfig((Part(new, 1 - self.replay),
                          Part(written if self.own else old, self.replay)))


PARENT, RETRAINING, FINE_TUNING = 'parent', 'retraining', 'fine-tuning'
REPLAY, OWN = 'replay 25 %', 'own text 25 %'
NEW_ROWS, LOW_RANK = 'new rows', 'low rank'
METHODS = {
  FINE_TUNING: Method({0.0: 1e-2}, dense=3e-4),
  REPLAY: Method({0.0: 1e-2}, replay=0.25),
  RETRAINING: Method({0.0: 1e-2}, replay=2 / 3, anew=True),
  OWN: Method({0.0: 1e-2}, replay=0.25, own=True),
  'replay 1 %': Method({0.0: 1e-2}, replay=0.01),
  'replay 5 %': Method({0.0: 3e-2}, replay=0.05),
  'replay 50 %': Method({0.0: 1e-2}, replay=0.5),
  NEW_ROWS: Method({0.0: 1e-1, 1.0: 3e-2}, trainable=NewRows(FIRST_NEW)),
  LOW_RANK: Method({0.0: 3e-2, 1.0: 1e-2},
                   trainable=LowRank(rank=4, first=FIRST_NEW)),
}


def runs(stratum: str, preset: str, pins: Pins,
         methods: Mapping[str, Sequence[float]],
         width: int = WIDTH, share: float = SHARE) -> tuple[Cell, ...]:
  """The cells of some methods, each at some similarities, and the parents.

  Args:
    stratum: that they are for.
    preset: the size.
    pins: fields that were typed.
    methods: similarities by method; the parents come by themselves.
    width: of the model.
    share: of new tokens after an old one.
  """
  base = overrides.replace(BASE, {'model.d_model': width})
  if preset == 'smoke':
    # A loop compiles faster, which is all it does here.
    base = overrides.replace(base, {'model.unroll': 1})
  first, then = STEPS[preset]
  parents = _seeded(base, {'train.steps': first}, preset, pins)
  cells = [Cell(stratum, PARENT, Train(config)) for config in parents]
  for name, similarities in methods.items():
    method = METHODS[name]
    for similarity in similarities:
      configs = _seeded(base, {
        'data.source': method.source(similarity, share),
        'train.steps': first + then if method.anew else then,
        'train.learning_rate': method.rate(similarity, share),
        'train.trainable': method.trainable}, preset, pins)
      cells += [Cell(stratum, name, Train(
        config, None if method.anew else Train(parent)))
        for config, parent in zip(configs, parents, strict=True)]
  return tuple(cells)


def _seeded(base: Config, fields: Mapping[str, Any], preset: str,
            pins: Pins) -> tuple[Config, ...]:
  """A config for each seed, which is that of the chain as well."""
  seeds = SEEDS[preset]
  return zipped(overrides.replace(base, fields),
                {'data.seed': seeds, 'train.seed': seeds}, pins)
