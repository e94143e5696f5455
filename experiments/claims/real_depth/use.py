"""Use: which half of the layers does the work, and for what? (B10, E3)

If repeating layers gives more, the later ones must be used. One block at a time
is left out, and what is lost is counted twice: for likelihood, by how many bits
more the true next word costs; and for generation, by how soon what the model
writes on its own, greedily, departs from what it writes as a whole: departures
for each word written until then. (Words that differ after that say little:
whatever block is missing, most do, so that every block would seem alike.) The
two differ in the literature: judged by likelihood the later half is hardly
used, judged by what is written it is (2510.02091, 2602.01997). Bits and words
are two currencies, so next words that change, given the true text, stand
between them.

The first and the last block are left out: what they do is known to be of
another size (Lad, Gurnee and Tegmark, 2024). Of what the others lose in all,
the later half's share would be 0.5 were all used alike.

Prediction. For both, the later half's share is 0.25 or more: it does at least a
third of what the earlier half does. Refuted if for both it is shown to be less;
conditional if for one of them only.

That a block is used does not say what for: that what it does is abstraction
cannot be seen here, and is for the trained strata of `depth` to show.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from experiments.claims.real_depth import figures, texts, words
from experiments.instruments import skipping
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages, scored
from experiments.judge.clusters import average, by_place
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.experiment import Part
from model import generation
from model.generation import Sampling
from model.language_model import Params

NAME = 'use'
SMALLEST = 0.25  # of the later half's share; 0.5 were all used alike
LIKELIHOOD, WORDS, GENERATION = 'likelihood', 'next words', 'generation'
WRITTEN = 'written words'  # that differ, after the first too
RANDOM_TEXTS = 2
OUTPUTS = ('stack/mixer/w_o_HKD', 'stack/ffn/w_down_FD')


def measure(subject: Subject) -> list[Row]:
  """What is lost without each block, text by text, and the halves' shares."""
  own: texts.Size = subject.case
  assert subject.tokenizer
  read = texts.judged(subject.tokenizer, own)
  network = Network(subject.params, subject.model)
  lost = skipped(network, read, own.scored)
  lost |= written(network, texts.prompts(subject.tokenizer, own), own.new)
  few = Passages(*(x[:RANDOM_TEXTS] for x in read))
  nothing = skipped(network.random(), few, own.scored)
  return [*rows(lost), *rows(nothing, {'network': 'random'})]


class Lost(NamedTuple):
  """What is lost without each block, and over how much it was counted.

  Attributes:
    sum_NB: by block and text.
    over_NB: positions, or words written until the first that differs.
  """

  sum_NB: np.ndarray
  over_NB: np.ndarray


def rows(lost: Mapping[str, Lost],
         where: Mapping[str, str] | None = None) -> list[Row]:
  """What is lost by block and text, by what is asked; and shares."""
  found = []
  for asked, own in lost.items():
    place = {**(where or {}), 'asked': asked}
    lost_NB = own.sum_NB / own.over_NB
    found += [Row('lost', value, {**place, 'layer': layer, 'text': text})
              for layer, lost_B in enumerate(lost_NB, 1)
              for text, value in enumerate(lost_B)]
    found += [Row('lost_on_average', value, {**place, 'text': text})
              for text, value in enumerate(lost_NB.mean(0))]
    found += [Row('later_share', value, {**place, 'text': text, 'blocks': kind})
              for kind, inner in (('inner', 1), ('all', 0))
              for text, value in enumerate(later_share(own, inner))]
  if GENERATION in lost:
    shares = {asked: later_share(own) for asked, own in lost.items()}
    found += [Row('later_share_beyond', value, {'asked': asked, 'text': text})
              for asked in (LIKELIHOOD, WORDS)
              for text, value in enumerate(shares[GENERATION] - shares[asked])]
  return found


def later_share(lost: Lost, inner: int = 1) -> np.ndarray:
  """(B,): of the rates of both halves, the later; without `inner` blocks at
  each end.

  Where nothing is lost without any block, the later half does nothing.
  """
  ends = slice(inner, len(lost.sum_NB) - inner)
  first_B, later_B = (
    np.sum(sums, 0) / np.sum(over, 0) for sums, over in zip(
      *(np.array_split(x_NB[ends], 2) for x_NB in lost)))
  total_B = first_B + later_B
  return np.divide(later_B, total_B, out=np.zeros(len(total_B)),
                   where=total_B > 0)


def skipped(network: Network, read: Passages,
            most: int) -> dict[str, Lost]:
  """Of each text: bits that the true word costs more, words that change."""
  found: dict[str, list[np.ndarray]] = {LIKELIHOOD: [], WORDS: []}
  over = []
  for row in range(len(read.tokens_BT)):
    one = scored(Passages(*(x[row:row + 1] for x in read)), most)
    sums = skipping.effects(network, one, 'skip', most)
    found[LIKELIHOOD].append(np.asarray(sums.bits_N))
    found[WORDS].append(np.asarray(sums.positions - sums.agreement_N))
    over.append(np.full(network.config.n_layers, float(sums.positions)))
  return {asked: Lost(np.stack(each, 1), np.stack(over, 1))
          for asked, each in found.items()}


def written(network: Network, prompts: list[np.ndarray],
            new: int) -> dict[str, Lost]:
  """What is written greedily without each block: departures, and words."""
  def write(params: Params) -> np.ndarray:
    return np.stack(generation.generate(
      network.config, params, prompts, new, Sampling(temperature=0)))

  whole_BT = write(network.params)
  other_NBT = np.stack([
    write(without(network.params, layer)) != whole_BT
    for layer in range(1, network.config.n_layers + 1)])
  departs_NB = other_NBT.any(-1)
  until_NB = np.where(departs_NB, other_NBT.argmax(-1) + 1, new)
  return {GENERATION: Lost(departs_NB.astype(float), until_NB.astype(float)),
          WRITTEN: Lost(other_NBT.sum(-1), np.full(departs_NB.shape, new))}


def without(params: Params, layer: int) -> Params:
  """The parameters with block `layer`, from 1, adding nothing to the stream."""
  flat = flatten_dict(params, sep='/')
  return unflatten_dict({
    name: x.at[layer - 1].set(0) if name in OUTPUTS else x
    for name, x in jax.tree.map(jax.numpy.asarray, flat).items()}, sep='/')


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  clusters = texts.size(NAME, preset).texts

  def able(asked: str, what: str, least: float) -> Control:
    return Control(
      f'the first block, {asked}', f'Without the first block {what}: the '
      'instrument sees a block that is needed.', functools.partial(
        average, metric='lost', clusters=clusters,
        where={'asked': asked, 'layer': 1}), at_least=least)

  def share(asked: str, what: str, control: Control) -> Effect:
    return Effect(
      name=f'the later half, {asked}', statement=f'For {what}, the later half '
      'of the layers does a third of what the earlier half does, or more.',
      unit='of what is lost without one layer', measure=functools.partial(
        by_place, metric='later_share', clusters=clusters,
        where={'asked': asked, 'blocks': 'inner'}),
      smallest=SMALLEST, positive=control, sigma=0.1)

  bits = able(LIKELIHOOD, 'the true next word costs a bit more', 1.0)
  others = able(GENERATION, 'what is written departs at every second word', 0.5)
  likely = share(LIKELIHOOD, 'the likelihood of the next word', bits)
  wrote = share(GENERATION, 'what the model writes', others)
  more = Effect(
    name='generation beyond likelihood', statement='What is written rests on '
    'the later half more than the likelihood of the next word does.',
    unit='of what is lost without one layer', measure=functools.partial(
      by_place, metric='later_share_beyond', clusters=clusters,
      where={'asked': LIKELIHOOD}),
    smallest=0.1, positive=others, sigma=0.1)
  return Stratum(
    name=NAME, title='Use of depth (B10): the later layers are used '
    f'({texts.LABEL})',
    prediction='Of what is lost when one layer is left out, the later half of '
    f'the layers has a share of {SMALLEST} or more, for the likelihood of the '
    'next word and for what the model writes on its own. (Were all used alike '
    'it would be 0.5; the first and the last layer are left out.)',
    refutation=f'For both, the share is shown to be less than {SMALLEST}.',
    effects=(likely, wrote, more),
    rule=Rule(
      supported=((likely.name, 'supported'), (wrote.name, 'supported')),
      refuted=((likely.name, 'equivalent or opposite'),
               (wrote.name, 'equivalent or opposite')),
      conditional=(
        ((likely.name, 'supported'), (wrote.name, 'equivalent or opposite')),
        ((likely.name, 'equivalent or opposite'), (wrote.name, 'supported')))),
    controls=(Control(
      'nothing learned', 'In a random network of the same shape, the true next '
      'word costs no more without a block: the mean over blocks, in bits.',
      functools.partial(
        average, metric='lost_on_average', clusters=RANDOM_TEXTS,
        where={'asked': LIKELIHOOD, 'network': 'random'}),
      at_least=-0.05, at_most=0.05),),
    tier='E3')


PART = Part(NAME, functools.partial(texts.sweep, NAME), measure, declare,
            figures.use, sentence=words.use, needs=texts.NEEDED)
