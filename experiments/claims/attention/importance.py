"""Importance: what attention goes to, against what matters (card AT1, B4, B7).

A model reads a few dozen tokens and is asked for the next. Each token is
replaced, several times, by what the model could have put there itself, and how
far the log-probability of the true next token moves is what the token matters.
Kendall's tau says how well attention from the last place orders them, in each
of sixteen chapters of prose: they are the unit.

Left out are the first token and delimiters (tokens without a letter or digit),
on which attention rests whatever they say; how much of its mass is retained is
shown, and so are other ways to leave out.

Prediction. Raw attention, the mean over heads, agrees with what matters by 0.5
or more, in the last layer and over all layers. Refuted if both are shown to
agree by less than 0.3; else conditional if one of them, or attention weighed by
what it adds, or rolled out through the layers, does by 0.5. Gradient times
attention and nearness alone are shown beside it.

Controls. In a network in which attention is importance by construction the
same program finds 0.8 or more. (A network of induction heads would not do: with
all attention on one place, tau cannot pass some 0.5.) Attention of a random
network of the model's shape agrees with what matters to the model by 0.15 at
most. What matters, found with one half of the replacements, agrees with the
other half by 0.5 or more: where it does not, no attention could agree.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import numpy as np
import polars as pl

import model
from data.text import corpus
from data.text.tokenizer import Tokenizer
from experiments.claims import models
from experiments.claims.attention import figures, words
from experiments.instruments import importance
from experiments.instruments.constructed import reader
from experiments.instruments.importance import ALL, LAST, Context, Found
from experiments.instruments.network import Network
from experiments.judge import clusters, samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact, Pretrained

STRONG, WEAK = 0.5, 0.3
CHAPTERS = 16
SHORTEST = 2000  # characters of a chapter
CONTEXTS, LENGTH, DRAWS = 2, 24, 8
OTHERS, OTHER_LENGTH = 8, 16  # contexts of the constructed network; of a smoke
JUDGED = 'first, delimiters'
RAW, WEIGHTED, ROLLED = 'raw', 'value-weighted', 'rollout'


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """The model; a tiny random one in its place where nothing is shown anyway."""
  del pins
  task = (Exact(('random', CHAPTERS)) if preset == 'smoke' else
          Pretrained(models.path(models.SMOLLM2)))
  return Cell('importance', 'model', task),


def needs(preset: str) -> str:
  """Why it cannot be run here, or ''."""
  return '' if preset == 'smoke' else models.needed(models.SMOLLM2)(preset)


def measure(subject: Subject) -> list[Row]:
  """Agreement in each chapter, and of the controls."""
  if subject.case:
    network = tiny()
    rng = np.random.default_rng(0)
    return compared(network, [[Context(
      rng.integers(network.config.vocab_size, size=OTHER_LENGTH).tolist(), 0)]
      for _ in range(CHAPTERS)], None, 2)
  network = Network(subject.params,
                    dataclasses.replace(subject.model, unroll=1))
  assert subject.tokenizer
  return compared(network, contexts(subject.tokenizer, chapters()),
                  subject.tokenizer, DRAWS)


def tiny() -> Network:
  """A random network."""
  config = model.ModelConfig(n_layers=2, d_model=16, vocab_size=64, unroll=1)
  return Network(jax.jit(model.init, static_argnums=0)(
    config, jax.random.key(1)), config)


def chapters(first: int = 0) -> list[str]:
  """Every other one of the longer chapters; those between served pilots."""
  long = [text for text in corpus.read('') if len(text) >= SHORTEST]
  return long[first::2][:CHAPTERS]


def contexts(tokenizer: Tokenizer, texts: list[str]) -> list[list[Context]]:
  """Places in each text, evenly spread, with what stands before them."""
  found = []
  for text in texts:
    ids = [int(i) for i in tokenizer.ids(text, marks=False)]
    starts = np.linspace(0, len(ids) - LENGTH - 1, CONTEXTS + 2)[1:-1]
    found.append([Context(ids[i:i + LENGTH], ids[i + LENGTH])
                  for i in starts.astype(int)])
  return found


def compared(network: Network, texts: list[list[Context]],
             tokenizer: Tokenizer | None, draws: int) -> list[Row]:
  """The rows of a model, of a random one, and of the constructed one."""
  rows, null, random = [], [], network.random()
  for text, own in enumerate(texts):
    found = [importance.read(network, context, draws, seed)
             for seed, context in enumerate(own)]
    per_way = [excluded(context.tokens, tokenizer) for context in own]
    rows += agreements(found, per_way, {'text': text})
    seen = [importance.attention(random, context) for context in own]
    null += [{name: importance.agreement(
      mass_S, one.importance_RS.mean(0), ways[JUDGED])
      for name, mass_S in masses.items()}
      for one, ways, masses in zip(found, per_way, seen)]
  rows += _means(null, 'random')
  return rows + _means(planted(), 'constructed')


def excluded(tokens: Sequence[int], tokenizer: Tokenizer | None
             ) -> dict[str, np.ndarray]:
  """(S,) which places are kept, by what is left out."""
  place = np.arange(len(tokens))
  word = np.array([tokenizer is None or any(
    map(str.isalnum, tokenizer.token(token))) for token in tokens])
  return {'nothing': place >= 0, 'first': place > 0,
          JUDGED: (place > 0) & word,
          f'{JUDGED}, own': (place > 0) & word & (place < place[-1])}


def agreements(found: list[Found], per_way: list[dict[str, np.ndarray]],
               where: dict[str, int]) -> list[Row]:
  """Means over the contexts of a text, for each way to leave out."""
  rows = []
  matters = [one.importance_RS.mean(0) for one in found]
  places = [np.arange(len(of_S), dtype=float) for of_S in matters]
  for way in per_way[0]:
    place: dict[str, int | float | str] = {'excluded': way, **where}
    kept = [ways[way] for ways in per_way]
    for weighing, layers in found[0].mass_S:
      mass = [one.mass_S[weighing, layers] for one in found]
      here = {'weighing': weighing, 'layers': layers, **place}
      retained = [m_S[k_S].sum() / m_S.sum() for m_S, k_S in zip(mass, kept)]
      rows += [
        Row('agreement', _agreement(mass, matters, kept), here),
        Row('retained_mass', float(np.mean(retained)), here)]
    first, second = (list(of) for of in zip(
      *(one.importance_RS for one in found)))
    rows += [
      Row('nearness_agreement', _agreement(places, matters, kept), place),
      Row('repeated_agreement', _agreement(first, second, kept), place)]
  return rows


def _agreement(one: list[np.ndarray], other: list[np.ndarray],
               kept: list[np.ndarray]) -> float:
  return float(np.mean(list(map(importance.agreement, one, other, kept))))


def planted() -> list[dict[tuple[str, str], float]]:
  """Agreement in networks in which attention is importance."""
  rng, kept_S = np.random.default_rng(0), np.arange(LENGTH) > 0
  found = [importance.read(reader.reader(LENGTH, seed % 2), Context(
    rng.integers(2, size=LENGTH).tolist(), reader.ANSWER), DRAWS, seed)
    for seed in range(OTHERS)]
  return [{name: importance.agreement(mass_S, one.importance_RS.mean(0), kept_S)
           for name, mass_S in one.mass_S.items()} for one in found]


def _means(taus: list[dict[tuple[str, str], float]],
           network: str) -> list[Row]:
  return [Row('agreement', float(np.mean([one[name] for one in taus])),
              {'network': network, 'weighing': name[0], 'layers': name[1]})
          for name in taus[0]]


def mean(table: pl.DataFrame, metric: str, **where: str) -> float:
  """Over chapters, with what is judged left out; for controls."""
  return float(clusters.by_place(table, metric, CHAPTERS, {
    'excluded': JUDGED, **where}).values.mean())


def size(table: pl.DataFrame, **where: str) -> float:
  """The larger of the sizes of a random network's agreements."""
  return max(abs(samples.average(table, 'agreement', {
    'network': 'random', 'weighing': RAW, 'layers': layers, **where}))
    for layers in (LAST, ALL))


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset

  def found(weighing: str, layers: str) -> Control:
    return Control(
      f'it finds {weighing}, {layers}, where it is planted',
      'In a network in which attention is importance it agrees with it.',
      functools.partial(samples.average, metric='agreement', where={
        'network': 'constructed', 'weighing': weighing, 'layers': layers}),
      at_least=0.8)

  def taken(weighing: str, layers: str) -> functools.partial:
    return functools.partial(
      clusters.by_place, metric='agreement', clusters=CHAPTERS,
      where={'weighing': weighing, 'layers': layers, 'excluded': JUDGED})

  def strong(name: str, weighing: str, layers: str) -> Effect:
    return Effect(
      name=name, statement=f'Tokens that get more of {name} matter more '
      f'(tau {STRONG} or more).', unit='Kendall\'s tau',
      measure=taken(weighing, layers), smallest=STRONG,
      positive=found(weighing, layers), sigma=0.15)

  def weak(of: Effect, layers: str) -> Effect:
    return Effect(
      name=f'weak agreement of {of.name}', statement=f'How much of {of.name} a '
      f'token gets hardly says what it matters (tau below {WEAK}).',
      unit='Kendall\'s tau', measure=taken(RAW, layers), band=(-1.01, WEAK),
      positive=found(RAW, layers), sigma=0.15)

  last = strong('attention of the last layer', RAW, LAST)
  every = strong('attention of all layers', RAW, ALL)
  weighted = strong('value-weighted attention', WEIGHTED, ALL)
  rolled = strong('attention rolled out', ROLLED, LAST)
  neither = weak(last, LAST), weak(every, ALL)
  return Stratum(
    name='importance',
    title='Attention and what matters: one model, quantised, instruct, 135 M',
    prediction='The more attention a token gets, the more it matters for what '
    'comes next.',
    refutation='In the last layer and over all layers, attention and what '
    f'matters are shown to agree by less than {WEAK} (Kendall\'s tau).',
    effects=(last, every, weighted, rolled, *neither),
    controls=(
      Control('a random network', 'Attention of a random network of this shape '
              'agrees next to not at all with what matters to the model.',
              size, at_most=0.15),
      Control('what matters, found twice', 'One half of the replacements '
              'agrees with the other on what matters.', functools.partial(
                mean, metric='repeated_agreement'), at_least=0.5),
      Control('retained mass', 'The share of the last layer\'s attention that '
              'does not go to what is left out.', functools.partial(
                mean, metric='retained_mass', weighing=RAW, layers=LAST),
              at_least=0.1)),
    rule=Rule(
      supported=((last.name, 'supported'), (every.name, 'supported')),
      refuted=tuple((effect.name, 'supported') for effect in neither),
      conditional=tuple(((effect.name, 'supported'),) for effect in (
        last, every, weighted, rolled))),
    tier='E3')


PART = Part('importance', sweep, measure, declare, figures.importance,
            sentence=words.importance, needs=needs)
