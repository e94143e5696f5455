"""Meaning: does closeness mean what people call alike? (card G1, B3, tier E3)

Two models that others have trained: a language model (SmolLM2, 135 M,
quantised, tuned on instructions) and an encoder that was trained to tell
texts apart (MiniLM). SimLex-999 asks people how similar two words are, and
calls coffee and cup unlike; WordSim-353 how related they are.

A layer, and a form of its vectors, have to be chosen among many, and the best
of many is too good on what it was chosen by. So they are chosen on WordSim-353
and judged on SimLex-999, where the other list has no pair. Pairs that share
words are no independent evidence, and nearly all of them hang together, so
clusters of at most four pairs are judged that share no word with another, and
what would join them is left out. That is often what stands late in a list, and
SimLex-999 ends each part of speech with pairs that nobody calls alike, so what
is judged is harder than the whole list. (Beside the verdict the same the other
way round: chosen on SimLex-999, judged on WordSim-353.)

Prediction. The rank correlation with people is 0.3 or more, its interval lies
above 0.2, and it is more than how words are spelled can give: with the ranks of
the similarity of character n-grams removed from both sides, at least 0.1 is
left. Supported if so of both models; refuted if it is shown to be below 0.2 in
both; conditional if one meets all of it and the other does not reach 0.3.

Controls. The lists and the reading of words are right: on the list that it was
chosen by, at least one model reaches 0.3. A random network of the same shape
has 0.2 at most at the same place. Beside the verdict: parts of speech (the
list has adjectives, then nouns, then verbs), and antonyms, which people call
unlike and which stand in the same sentences.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import jax
import numpy as np
import polars as pl

from experiments.claims import models
from experiments.claims.geometry import real_words_figures, words
from experiments.claims.geometry.antonyms import ANTONYMS
from experiments.instruments import geometry, word_lists, word_similarity
from experiments.instruments.network import Network
from experiments.instruments.word_lists import RELATEDNESS, SIMILARITY, Lists
from experiments.judge import samples
from experiments.judge.analyses import RankCorrelation
from experiments.judge.declaration import (
  Control,
  Effect,
  Premise,
  Property,
  Rule,
  Stratum,
)
from experiments.judge.numbers import brief
from experiments.machine.usage import UsageError
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Pretrained

NAME = 'real-words'
ARMS = {'SmolLM2 (quantised, instruct, 135 M)': models.SMOLLM2,
        'MiniLM (encoder)': models.MINILM}
SMALLEST = 0.2
SIZE = 0.3
BEYOND = 0.1  # with what spelling tells removed
TOGETHER = 4  # pairs of a cluster, at most
CLUSTERS = {SIMILARITY: 302, RELATEDNESS: 130}
OTHER = {SIMILARITY: RELATEDNESS, RELATEDNESS: SIMILARITY}
# Of the files that are judged, so that no others are.
CONTENT = {
  SIMILARITY:
    'd5e0501971478a511430ee880bd0121e94ac701ba86d90544d83e6d2ba3db05d',
  RELATEDNESS:
    'f92a022fc2537793a15bc3a8c162ebcd74990e033a228bb6388cb71e4c0b1e1d'}
PARTS_OF_SPEECH = {'adjectives': slice(0, 111), 'nouns': slice(111, 777),
                   'verbs': slice(777, 999)}


def needs(preset: str) -> str:
  """Why it cannot be run here, with the fix, or ''."""
  why = models.needed(models.SMOLLM2, models.MINILM, models.WORDS)(preset)
  if not why:
    try:
      lists()
    except UsageError as error:
      why = str(error)
  return why


def lists() -> Lists:
  """Both lists, as they were when this was declared.

  Raises:
    UsageError: a file is missing, damaged or another.
  """
  folder = models.find(models.WORDS)
  if folder is None:
    raise UsageError(f'there is no models/{models.WORDS}; {word_lists.FIX}')
  found = word_lists.read(folder)
  for name, file in word_lists.FILES.items():
    if hashlib.sha256((folder / file).read_bytes()).hexdigest(
        ) != CONTENT[name]:
      raise UsageError(f'{folder / file}: is not the {name} that is judged; '
                       f'{word_lists.FIX}')
  return found


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """Both models; no preset is smaller."""
  del preset, pins
  return tuple(Cell(NAME, arm, Pretrained(models.path(file)))
               for arm, file in ARMS.items())


def notes(preset: str, pins: Pins) -> tuple[str, ...]:
  """What it takes, since nothing is trained."""
  del preset, pins
  return ('real-words: nothing is trained; to measure takes two to four '
          'minutes of two cores',)


def measure(subject: Subject) -> list[Row]:
  """Every layer and form against people, and the chosen one pair by pair."""
  assert subject.tokenizer
  network = Network(subject.params, dataclasses.replace(
    subject.model, unroll=1))
  own = lists()
  read = word_similarity.sentences(subject.tokenizer, word_lists.words(own))
  count = len(word_lists.words(own))
  return compared(word_similarity.vectors(network, read, count),
                  word_similarity.vectors(network.random(), read, count), own)


def compared(vectors_NVD: jax.Array, random_NVD: jax.Array,
             own: Lists) -> list[Row]:
  """What the vectors of the words of two lists say, (N+1,V,D).

  Args:
    vectors_NVD: of the model, the words in the order of `word_lists.words`.
    random_NVD: of a random one.
    own: the lists.
  """
  names = word_lists.words(own)
  rows = word_similarity.baseline(own)
  for table_NVD, where in ((vectors_NVD, {}),
                           (random_NVD, {'network': 'random'})):
    rows += [Row(row.metric, row.value, {**where, **row.where})
             for row in word_similarity.correlations(table_NVD, names, own)]
  for judged, chooser in OTHER.items():
    layer, form, reached = choose(vectors_NVD, names, without(
      own[chooser], own[judged]))
    here = {'judged': judged}
    pairs = own[judged]
    close, random = (
      word_similarity.closeness(table_NVD[layer], form, names, pairs)
      for table_NVD in (vectors_NVD, random_NVD))
    human = np.array([pair.human for pair in pairs])
    rows += [
      Row('chosen_layer', layer, {**here, 'form': form}),
      Row('chosen_correlation', reached, here),
      Row('random_correlation', word_similarity.correlation(random, human),
          here),
      *of_pairs(pairs, close, human, here)]
    if judged == SIMILARITY:
      rows += beside(pairs, close, human)
  return rows


def without(pairs: Sequence[word_lists.Pair],
            others: Sequence[word_lists.Pair]) -> list[word_lists.Pair]:
  """The pairs that are not among others, in either order."""
  known = {frozenset(map(str.lower, pair[:2])) for pair in others}
  return [pair for pair in pairs
          if frozenset(map(str.lower, pair[:2])) not in known]


def choose(vectors_NVD: jax.Array, names: Sequence[str],
           pairs: Sequence[word_lists.Pair]) -> tuple[int, str, float]:
  """The layer and the form that fit best, and the correlation that they have.
  """
  rows = word_similarity.correlations(vectors_NVD, names, {'': pairs})
  best = max(rows, key=lambda row: row.value)
  return int(best.where['layer']), str(best.where['form']), best.value


def of_pairs(pairs: Sequence[word_lists.Pair], close: np.ndarray,
             human: np.ndarray, here: dict[str, str]) -> list[Row]:
  """Closeness and judgement of each pair of a cluster, and beyond spelling."""
  cluster = word_lists.clusters(pairs, TOGETHER)
  kept = [index for index, own in enumerate(cluster) if own is not None]
  spelled = np.array([word_lists.spelling(pairs[index]) for index in kept])
  close, human = close[kept], human[kept]
  values = {
    'closeness': close, 'judgement': human,
    'closeness_beyond_spelling': geometry.rank_residuals(close, spelled),
    'judgement_beyond_spelling': geometry.rank_residuals(human, spelled)}
  return [Row(metric, float(value), {
    **here, 'item': index, 'cluster': int(cluster[index] or 0)})
    for metric, column in values.items()
    for index, value in zip(kept, column)]


def beside(pairs: Sequence[word_lists.Pair], close: np.ndarray,
           human: np.ndarray) -> list[Row]:
  """Parts of speech, and where antonyms stand among all pairs (0 to 1)."""
  rows = [Row('part_correlation', word_similarity.correlation(
    close[part], human[part]), {'part_of_speech': name})
    for name, part in PARTS_OF_SPEECH.items() if len(close[part]) > 1]
  opposite = np.array([frozenset(pair[:2]) in ANTONYMS for pair in pairs])
  if opposite.any():
    rows += [Row('antonym_place', geometry.area(score, opposite), {'by': name})
             for name, score in (('people', human), ('the model', close))]
  return [row for row in rows if row.value == row.value]


def followed(judged: str, arm: str, beyond: str = '') -> functools.partial:
  """The measure of one correlation over the pairs that are judged."""
  return functools.partial(
    samples.items, metrics=(f'closeness{beyond}', f'judgement{beyond}'),
    where={'arm': arm, 'judged': judged}, cluster='cluster',
    clusters=CLUSTERS[judged])


def too_small(table: pl.DataFrame, arm: str) -> str:
  """The correlation on SimLex-999 where it is below 0.3."""
  found = RankCorrelation(followed(SIMILARITY, arm)(table)).estimate
  return '' if found >= SIZE else f'{arm}: rank correlation {brief(found)}'


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  right = Control(
    'words are read rightly', 'On the list that layer and form were chosen by, '
    'closeness follows people in at least one model.', functools.partial(
      samples.best, metric='chosen_correlation',
      wheres=tuple({'arm': arm, 'judged': SIMILARITY} for arm in ARMS)),
    at_least=SIZE)

  def effect(name: str, statement: str, arm: str, judged: str = SIMILARITY,
             beyond: str = '', smallest: float = SMALLEST) -> Effect:
    return Effect(
      name=name, statement=f'In {arm}, {statement}', unit='rank correlation',
      measure=followed(judged, arm, beyond), analysis='rank correlation',
      smallest=smallest, positive=right)

  close, spelled, sizes, related = [], [], [], []
  for arm in ARMS:
    model = arm.partition(' ')[0]
    close.append(effect(
      f'closeness in {model}', 'the more similar people find two words, the '
      'closer they lie.', arm))
    spelled.append(effect(
      f'beyond spelling in {model}', 'they do so beyond what their spelling '
      'tells.', arm, beyond='_beyond_spelling', smallest=BEYOND))
    sizes.append(Property(
      f'size in {model}', f'In {arm}, the rank correlation is {SIZE} or more.',
      functools.partial(too_small, arm=arm)))
    related.append(effect(
      f'relatedness in {model}', 'the more related people find two words, the '
      'closer they lie.', arm, RELATEDNESS))
  met: list[tuple[Premise, ...]] = [
    ((close[i].name, 'supported'), (spelled[i].name, 'supported'),
     (sizes[i].name, 'holds')) for i in range(len(ARMS))]
  return Stratum(
    name=NAME, title='Closeness and meaning (two real models)',
    prediction='The closer two words lie, the more similar people find them: '
    f'rank correlation {SIZE} or more, shown to be above {SMALLEST}, and more '
    'than spelling tells.',
    refutation=f'In both models it is shown to be below {SMALLEST}.',
    effects=(*close, *spelled, *related), properties=tuple(sizes),
    rule=Rule(
      supported=(*met[0], *met[1]),
      refuted=tuple((one.name, 'equivalent or opposite') for one in close),
      conditional=((*met[0], (sizes[1].name, 'fails')),
                   (*met[1], (sizes[0].name, 'fails')))),
    controls=tuple(Control(
      f'random {arm.partition(" ")[0]}', 'A random network of the shape of '
      f'{arm} knows little, at the place that was chosen.', functools.partial(
        samples.average, metric='random_correlation', where={
          'arm': arm, 'judged': SIMILARITY}), at_most=SMALLEST)
      for arm in ARMS),
    tier='E3')


PART = Part(NAME, sweep, measure, declare, real_words_figures.figures_of,
            notes=notes, sentence=words.real_words, optional=True, needs=needs)
