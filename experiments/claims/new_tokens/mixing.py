"""Does a mix of new and old text mend what fine-tuning breaks? (card C1)

Prediction. At similarity 0, replay of old text costs at least 0.1 nats per
token less than fine-tuning, and as much as retraining within 0.03. Refuted if
it costs as much as fine-tuning, within 0.1.

The share of old text was chosen in pilots; the others are shown. Beside it:
text that the parent writes itself, where the old text is gone; and a model half
as wide again.
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
  FINE_TUNING,
  METHODS,
  OWN,
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

NAME = 'mixing'
UNLIKE = ENDS[0]


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """Replay at every share, and what it is held against."""
  shares = {name: (UNLIKE,) for name, method in METHODS.items()
            if method.replay and not method.anew}
  methods = {FINE_TUNING: SIMILARITIES, RETRAINING: SIMILARITIES, **shares,
             REPLAY: SIMILARITIES, OWN: ENDS}
  wide = {FINE_TUNING: ENDS, RETRAINING: ENDS, REPLAY: (UNLIKE,)}
  return (*runs(NAME, preset, pins, methods),
          *runs(NAME, preset, pins, wide, WIDE))


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides; the same for every preset."""
  del preset
  def gain(width: int, named: str) -> Effect:
    return Effect(
      name=f'gain of replay{named}',
      statement=('Fine-tuning with replay of old text costs less than '
                 f'without{named}.'),
      unit='nats', smallest=0.1, sigma=0.04, positive=costs.learned(width),
      measure=difference(cost(FINE_TUNING, UNLIKE, width),
                         cost(REPLAY, UNLIKE, width)))

  effects = (
    gain(WIDTH, ''), gain(WIDE, f', d = {WIDE}'),
    Effect(
      name='replay against retraining',
      statement='Replay costs more than retraining.',
      unit='nats', smallest=0.03, sigma=0.01, positive=costs.learned(),
      measure=difference(cost(REPLAY, UNLIKE), cost(RETRAINING, UNLIKE))),
    Effect(
      name='own text against old text',
      statement=('Replay of text that the model wrote itself costs more than '
                 'replay of the old text.'),
      unit='nats', smallest=0.03, sigma=0.01, positive=costs.learned(),
      measure=difference(cost(OWN, UNLIKE), cost(REPLAY, UNLIKE))))
  return Stratum(
    name=NAME, title='Fine-tuning with replay of old text',
    prediction=('At similarity 0 replay costs at least 0.1 nats less than '
                'fine-tuning, and as much as retraining within 0.03.'),
    refutation='It costs as much as fine-tuning, within 0.1 nats.',
    effects=effects,
    rule=Rule(
      supported=(('gain of replay', 'supported'),
                 ('replay against retraining', 'equivalent')),
      refuted=(('gain of replay', 'equivalent'),),
      conditional=(('gain of replay', 'supported'),)),
    controls=(costs.knows(), costs.knows(WIDE)))


PART = Part(NAME, sweep, exact.measure, declare, figures.draw,
            sentence=words.mixing, problem=problems.followers)
