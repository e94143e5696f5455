"""Does a mix of new and old text mend what fine-tuning breaks? (card C1)

Prediction. At similarity 0, replay of old text costs at least 0.1 nats per
token less than fine-tuning, and as much as retraining within 0.03, or less.
Refuted if it costs as much as fine-tuning, within 0.1, or more. Conditional if
it costs less than fine-tuning, and at least 0.03 more than retraining.

What it mends may be no more than that new tokens are expected in old text,
where there are none: the gain among old tokens is shown, with what is given to
new ones left aside. The share of old text was chosen in pilots; the others are
shown. Beside it: text that the parent writes itself, where the old text is
gone; and a model half as wide again.
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
  OWN_TEXTS,
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
  effects = (
    _gain(''), _gain(f', d = {WIDE}', width=WIDE),
    _gain(' among old tokens', sigma=0.01, forgotten='old_excess_among_old'),
    Effect(
      name='replay against retraining',
      statement='Replay costs more than retraining.',
      unit='nats', smallest=0.03, sigma=0.01, positive=costs.learned(),
      measure=difference(cost(REPLAY, UNLIKE), cost(RETRAINING, UNLIKE))),
    Effect(
      name='own text against old text',
      statement=(f'Replay of {OWN_TEXTS} texts that the model wrote '
                 'itself costs more than replay of the old text.'),
      unit='nats', smallest=0.03, sigma=0.01, positive=costs.learned(),
      measure=difference(cost(OWN, UNLIKE), cost(REPLAY, UNLIKE))))
  return Stratum(
    name=NAME, title='Fine-tuning with replay of old text',
    prediction=('At similarity 0 replay costs at least 0.1 nats less than '
                'fine-tuning, and as much as retraining within 0.03, or less.'),
    refutation='It costs as much as fine-tuning, within 0.1 nats, or more.',
    effects=effects,
    rule=Rule(
      supported=(('gain of replay', 'supported'),
                 ('replay against retraining', 'equivalent or opposite')),
      refuted=(('gain of replay', 'equivalent or opposite'),),
      conditional=(('gain of replay', 'supported'),
                   ('replay against retraining', 'supported'))),
    controls=(costs.knows(), costs.knows(WIDE)))


def _gain(named: str, width: int = WIDTH, sigma: float = 0.04,
          forgotten: str = 'old_excess') -> Effect:
  """How much less fine-tuning costs with replay."""
  return Effect(
    name=f'gain of replay{named}',
    statement=('Fine-tuning with replay of old text costs less than '
               f'without{named}.'),
    unit='nats', smallest=0.1, sigma=sigma, positive=costs.learned(width),
    measure=difference(*(cost(method, UNLIKE, width, forgotten=forgotten)
                         for method in (FINE_TUNING, REPLAY))))


PART = Part(NAME, sweep, exact.measure, declare, figures.draw,
            sentence=words.mixing, problem=problems.followers)
