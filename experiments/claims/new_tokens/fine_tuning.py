"""Does fine-tuning fail where new tokens are unlike the old ones? (card C1)

Prediction. Fine-tuning on new text costs at least 0.1 nats per token more at
similarity 0 than at similarity 1. Refuted if it costs as much within 0.1, or
less. That is judged where new tokens follow half of the old ones in new text,
which rehearses old rules between them. Where they follow nine in ten, which
hardly does, the price is shown and decides nothing: in pilots its deviation
from chain to chain is 0.15 at the best rate, so that eight of them cannot tell
0.1 from 0, and over a factor of ten in the rate it is 0.05 to 0.25.

Beside it: the same in a model half as wide again, with capacity to spare; the
same with what is given to new tokens left aside, which tells forgotten rules
from new tokens where there are none; ways to train less of the model, new rows
alone and low rank; and whether fine-tuning fails even where new tokens are like
old ones. It does: who expects new tokens in old text as often as in new text
pays log 1/(1 - share), 0.69, whatever they are like.
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
  DENSE,
  ENDS,
  FINE_TUNING,
  LOW_RANK,
  NEW_ROWS,
  RETRAINING,
  SHARE,
  SIMILARITIES,
  WIDE,
  WIDTH,
  runs,
)
from experiments.judge.declaration import Effect, Rule, Stratum
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part

NAME = 'fine-tuning'
SMALLEST = 0.1
SIGMA, DENSE_SIGMA = 0.04, 0.15  # of one seed, in pilots


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """Fine-tuning in all its forms, and what it is held against."""
  methods = {FINE_TUNING: SIMILARITIES, RETRAINING: SIMILARITIES,
             NEW_ROWS: ENDS, LOW_RANK: ENDS}
  return (*runs(NAME, preset, pins, methods),
          *runs(NAME, preset, pins, {FINE_TUNING: ENDS, RETRAINING: ENDS},
                WIDE),
          *runs(NAME, preset, pins, {FINE_TUNING: ENDS, RETRAINING: ENDS},
                share=DENSE))


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides; the same for every preset."""
  del preset
  _, alike = ENDS
  effects = (
    _price(''),
    _price(f', share {DENSE:g}', share=DENSE),
    _price(f', d = {WIDE}', width=WIDE),
    _price(' among old tokens', forgotten='old_excess_among_old'),
    _price(', new rows alone', method=NEW_ROWS),
    Effect(
      name='cost where alike',
      statement=('Fine-tuning costs something even where new tokens share all '
                 'contexts and successors with old ones.'),
      unit='nats', smallest=SMALLEST, sigma=SIGMA, positive=costs.learned(),
      measure=difference(cost(FINE_TUNING, alike))))
  price = effects[0].name
  return Stratum(
    name=NAME, title='Fine-tuning on new text alone',
    prediction=('Fine-tuning costs at least 0.1 nats more at similarity 0 than '
                'at similarity 1, where new text rehearses old rules: new '
                'tokens follow half of the old ones.'),
    refutation=('It costs as much at both, within 0.1 nats, or less at '
                'similarity 0.'),
    effects=effects,
    rule=Rule(supported=((price, 'supported'),),
              refuted=((price, 'equivalent or opposite'),)),
    controls=(costs.knows(), costs.knows(WIDE)))


def _price(named: str, method: str = FINE_TUNING, width: int = WIDTH,
           share: float = SHARE, forgotten: str = 'old_excess') -> Effect:
  """How much more a method costs where new tokens are unlike old ones."""
  return Effect(
    name=f'price of being unlike{named}',
    statement=('Fine-tuning costs more where new tokens share nothing with '
               f'old ones than where they share all{named}.'),
    unit='nats', smallest=SMALLEST,
    sigma=SIGMA if share == SHARE else DENSE_SIGMA,
    positive=costs.learned(width, share),
    measure=difference(*(cost(method, s, width, share, forgotten)
                         for s in ENDS)))


PART = Part(NAME, sweep, exact.measure, declare, figures.draw,
            sentence=words.fine_tuning, problem=problems.followers)
