"""Surrogates: how many layers are still a linear map? (B18, E3)

"With the layers this compounds: from about ten on it is intractable." Of n
layers in a row we ask how far one linear map, fitted on other texts, does what
they do: what share of what they add to the stream it explains, and how often
the model still says the same word with the map in their place. Both are taken
for n = 1 to 29 layers, wherever in the model n layers can stand (behind the
first); for the words at the first, the middle and the last such place.

Prediction. Both curves break near 10: of seven forms (constant, linear,
logarithm, power, exponential, parabola, broken stick) the broken stick wins in
at least 95 % of the resamples of texts, and the interval of its bend lies
inside [8, 13]. Refuted if for both it is shown that there is no such break:
another form wins, or it bends elsewhere. Conditional if one breaks there and
the other is shown not to.

A break in what is said must be there again from the middle of the model on.
This was asked later, and makes the rule stricter only: in SmolLM2 one block
near the tenth (the twelfth, seen on pilot chapters) is followed badly from
wherever a map begins, after 11 layers from the first place, 6 from the sixth, 1
from the eleventh, and never from the sixteenth. The first and the middle place
both take it in at about ten layers, so it alone bends their mean there: a
property of that block, and not of how many layers there are. That
it compounds at all (the words kept by a map for one layer, less those by one
for 20) is an effect of its own, and decides nothing about a break.

Coordinates of the stream count alike, each divided by how much it varies: a few
vary a thousand times as much and would decide alone. A window's first position
is left out, for the same reason.
"""

import functools
from collections.abc import Mapping

import jax
import numpy as np
import polars as pl

from experiments.claims.real_depth import figures, texts, words
from experiments.instruments import surrogate
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.judge.clusters import average, by_place, difference
from experiments.judge.decision import decide
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.experiment import Part

NAME = 'surrogates'
BAND = (8.0, 13.0)
LAYERS = 30  # of SmolLM2-135M
SPANS = tuple(range(1, LAYERS))
# How many layers are replaced where words are asked for.
REPLACED = (*range(1, 17), 18, 20, 22, 24, 26, 28, 29)
MIDDLE = LAYERS // 2  # the stream from which a break must be there again
FROM_MIDDLE = tuple(range(1, LAYERS - MIDDLE + 1))
RANDOM = 'random'


def measure(subject: Subject) -> list[Row]:
  """Both curves of each text, and the first of a random network."""
  own: texts.Size = subject.case
  assert subject.tokenizer
  network = Network(subject.params, subject.model)
  read = texts.judged(subject.tokenizer, own)
  other = texts.calibration(subject.tokenizer, own)
  half = Passages(*(x[::2] for x in other))
  return [*curves(network, read, other, own.scored),
          *curves(network.random(), read, half, 0, {'network': RANDOM})]


def curves(network: Network, read: Passages, other: Passages, most: int,
           where: Mapping[str, str] | None = None,
           ridge: float = surrogate.RIDGE) -> list[Row]:
  """What surrogates explain and keep, by how many layers they stand for.

  Args:
    network: whose layers.
    read: a row a text, all real.
    other: what the surrogates are fitted on.
    most: positions of each text whose words are compared; 0: none is.
    where: the place of the rows.
    ridge: see `surrogate.fit`.
  """
  n_layers, where = network.config.n_layers, where or {}
  fitted_JBTD = surrogate.streams(network, other)
  stream_JBTD = surrogate.streams(network, read)
  length = read.tokens_BT.shape[1]
  place_BS = np.tile(surrogate.spread_out(length, most or 1),
                     (len(read.tokens_BT), 1))
  shares = {kind: np.zeros((n_layers + 1,) * 2 + (len(place_BS),))
            for kind in surrogate.Explained._fields}
  kept: dict[int, dict[int, np.ndarray]] = {}  # by span and start
  middle = n_layers // 2
  whole_BS = None
  for i in range(n_layers):
    maps = surrogate.fit(fitted_JBTD, other.valid_BT, i, ridge)
    for kind, share_JB in surrogate.explained(
        maps, stream_JBTD, read.valid_BT, i)._asdict().items():
      shares[kind][i] = share_JB
    if not most:
      continue
    words_of = functools.partial(surrogate.replaced, network, read, maps,
                                 stream_JBTD, i)
    whole_BS = words_of(i, place_BS) if whole_BS is None else whole_BS
    for k in SPANS:
      spread = k in REPLACED and i in surrogate.starts(n_layers, k)
      if k < n_layers and (spread or (i == middle and k <= n_layers - i)):
        same_B = jax.numpy.mean(words_of(i + k, place_BS) == whole_BS, axis=1)
        kept.setdefault(k, {})[i] = np.asarray(same_B)
  return [
    *(Row('explained', surrogate.curve(own_JJB[..., text], k),
          {**where, 'span': k, 'text': text, 'coordinates': kind[:-3]})
      for kind, own_JJB in shares.items() for k in range(1, n_layers)
      for text in range(len(place_BS))),
    *(Row('words_kept', value, {**where, 'span': k, 'text': text})
      for k, each in sorted(kept.items()) if k in REPLACED
      for text, value in enumerate(np.mean(
        [each[i] for i in surrogate.starts(n_layers, k)], 0))),
    *(Row('words_kept_from', value, {
      **where, 'span': k, 'start': i, 'text': text})
      for k, each in sorted(kept.items()) for i, same_B in each.items()
      for text, value in enumerate(same_B))]


def in_band(table: pl.DataFrame, effect: Effect) -> float:
  """1 where the same analysis finds the break of an effect, else 0."""
  return float(decide(effect, effect.measure(table)).state == 'supported')


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  clusters = texts.size(NAME, preset).texts
  even = {'coordinates': 'even'}

  def at_one(metric: str, what: str, least: float, **where: str) -> Control:
    return Control(
      f'one layer, {what}', f'A linear map for one layer: {what}.',
      functools.partial(average, metric=metric, clusters=clusters,
                        where={'span': 1, **where}), at_least=least)

  explains = at_one('explained', 'the share that it explains', 0.2, **even)
  keeps = at_one('words_kept', 'the share of words that stay', 0.5)

  def breaks(name: str, what: str, metric: str, order: tuple[int, ...],
             control: Control, **where: str | int) -> Effect:
    return Effect(
      name=name, statement=f'{what} breaks off at about ten layers.',
      unit='layers (0: no break, a smooth curve fits better)',
      measure=functools.partial(by_place, metric=metric, clusters=clusters,
                                where=where, order=order, by='span'),
      band=BAND, analysis='break', positive=control, sigma=1.0)

  added = breaks('break in what layers add', 'How much of what layers add a '
                 'linear map explains', 'explained', SPANS, explains, **even)
  said = breaks('break in what is said', 'How often the model says the same '
                'with a linear map in the place of layers', 'words_kept',
                REPLACED, keeps)
  again = breaks('the same break from the middle on', 'From the middle of the '
                 'model on, how often it says the same with a linear map in '
                 'the place of layers', 'words_kept_from', FROM_MIDDLE, keeps,
                 start=MIDDLE)
  compound = Effect(
    name='compounding', statement='A linear map for 20 layers keeps fewer '
    'words than one for a single layer.', unit='share of words that stay',
    measure=functools.partial(difference, metric='words_kept',
                              clusters=clusters, a={'span': 1},
                              b={'span': 20}),
    smallest=0.1, positive=keeps, sigma=0.1)
  untrained = breaks('untrained', 'It', 'explained', SPANS, explains,
                     network=RANDOM, **even)
  return Stratum(
    name=NAME, title='Linear surrogates (B18): beyond ten layers it becomes '
    f'intractable ({texts.LABEL})',
    prediction='How well one linear map stands for n layers breaks near n = '
    '10, in what they add and in what the model then says: a broken stick is '
    'the best of seven forms in at least 95 % of resamples of texts, and the '
    'interval of its bend lies in [8, 13]; and in what it says again where '
    'the layers begin in the middle of the model.',
    refutation='In both curves no break near 10 is shown to be there: a smooth '
    'form wins, or they bend elsewhere.',
    effects=(added, said, again, compound),
    rule=Rule(
      supported=((added.name, 'supported'), (said.name, 'supported'),
                 (again.name, 'supported'), (compound.name, 'supported')),
      refuted=((added.name, 'opposite'), (said.name, 'opposite')),
      conditional=(
        ((added.name, 'supported'), (said.name, 'opposite')),
        ((added.name, 'opposite'), (said.name, 'supported'),
         (again.name, 'supported')))),
    controls=(Control(
      'no break without training', 'In a random network of the same shape, the '
      'same analysis finds no break near 10 (1: it does).',
      functools.partial(in_band, effect=untrained), at_most=0.0),),
    tier='E3')


PART = Part(NAME, functools.partial(texts.sweep, NAME), measure, declare,
            figures.surrogates, sentence=words.surrogates, needs=texts.NEEDED)
