"""Is it needed to train again from random parameters? (card C1)

Prediction. At similarity 0, retraining on both texts costs at least 0.03 nats
per token less than fine-tuning with replay, of as many tokens in all. Refuted
if they cost the same, within 0.03, or retraining costs more.
"""

from experiments.claims.new_tokens import (
  costs,
  exact,
  figures,
  problems,
  words,
)
from experiments.claims.new_tokens.costs import cost, difference
from experiments.claims.new_tokens.methods import (
  ENDS,
  REPLAY,
  RETRAINING,
  SIMILARITIES,
  WIDE,
  WIDTH,
  runs,
)
from experiments.judge.declaration import Effect, Rule, Stratum
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part

NAME = 'retraining'


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """Replay and retraining."""
  return (*runs(NAME, preset, pins,
                {REPLAY: SIMILARITIES, RETRAINING: SIMILARITIES}),
          *runs(NAME, preset, pins, {REPLAY: ENDS[:1], RETRAINING: ENDS}, WIDE))


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides; the same for every preset."""
  del preset
  effects = tuple(
    Effect(
      name=f'gain of retraining{named}',
      statement=('Training again from random parameters costs less than '
                 f'replay{named}.'),
      unit='nats', smallest=0.03, sigma=0.01, positive=costs.learned(width),
      measure=difference(cost(REPLAY, ENDS[0], width),
                         cost(RETRAINING, ENDS[0], width)))
    for width, named in ((WIDTH, ''), (WIDE, f', d = {WIDE}')))
  gain = effects[0].name
  return Stratum(
    name=NAME, title='Training again from random parameters',
    prediction=('At similarity 0 retraining costs at least 0.03 nats less than '
                'replay.'),
    refutation=('They cost the same, within 0.03 nats, or retraining costs '
                'more.'),
    effects=effects,
    rule=Rule(supported=((gain, 'supported'),),
              refuted=((gain, 'equivalent or opposite'),)),
    controls=(costs.knows(), costs.knows(WIDE)))


PART = Part(NAME, sweep, exact.measure, declare, figures.draw,
            sentence=words.retraining, problem=problems.followers)
