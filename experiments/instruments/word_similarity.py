"""Do words lie close that people find alike? Layer by layer.

A word's vector in a stream is the mean over its pieces, in a few sentences that
end with it and say little else. How close two vectors lie is their cosine; how
well that follows what people say is Spearman's rank correlation over the pairs
of a list (`word_lists`). A few directions that all vectors share can hide what
parts them, so cosines are taken of vectors in four forms: as they are; without
their mean; without their first D/100 principal directions too (Mu and
Viswanath, 2018); and with equal variance in all directions.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import model
from data.text.tokenizer import Tokenizer
from experiments.instruments import word_lists
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages, parts
from experiments.instruments.word_lists import Lists, Pair
from experiments.runs.subject import Row
from model import ModelConfig

TEMPLATES = ('The word {}', 'They were talking about {}',
             'It has something to do with {}')
RAW, CENTRED, FEWER, WHITENED = FORMS = (
  'as they are', 'centred', 'all but the top', 'whitened')
SPELLING = 'character n-grams'  # the baseline, in the place of a form
TOGETHER = 128  # sentences that are read in one go


def sentences(tokenizer: Tokenizer, words: Sequence[str],
              templates: Sequence[str] = TEMPLATES) -> Passages:
  """Each word in each template.

  Returns:
    Passages whose `weights_BT` are 1 on the word's pieces, and whose `text_B`
    is the word's number.
  """
  rows = []
  for template in templates:
    around = tokenizer.ids(template.format('').rstrip()).tolist()
    for number, word in enumerate(words):
      ids = tokenizer.ids(template.format(word)).tolist()
      first = _shared(ids, around)
      after = _shared(ids[first:][::-1], around[first:][::-1])
      after = min(after, max(0, len(ids) - first - 1))
      rows.append((ids, first, len(ids) - after, number))
  width = max(len(ids) for ids, *_ in rows)
  place_T = np.arange(width)
  tokens_BT = np.array([ids + [0] * (width - len(ids)) for ids, *_ in rows],
                       np.int32)
  spans_B2 = np.array([own[1:3] for own in rows])[:, :, None]
  return Passages(
    tokens_BT, np.zeros_like(tokens_BT),
    ((place_T >= spans_B2[:, 0]) & (place_T < spans_B2[:, 1])).astype(
      np.float32),
    place_T < np.array([[len(ids)] for ids, *_ in rows]),
    np.array([number for *_, number in rows], np.int32))


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
  """How many tokens two texts have in common at their beginning."""
  return next((index for index, (a, b) in enumerate(zip(one, other)) if a != b),
              min(len(one), len(other)))


def vectors(network: Network, given: Passages, words: int) -> jax.Array:
  """A vector of each word in each stream, (N+1,V,D), on the device.

  Args:
    network: whose.
    given: what `sentences` made of the words.
    words: how many.
  """
  total_NVD = jnp.zeros((network.config.n_layers + 1, words,
                         network.config.d_model))
  for part in parts(given, TOGETHER):
    total_NVD = _add(total_NVD, network, part)
  return total_NVD / (len(given.text_B) / words)


@functools.partial(jax.jit, donate_argnums=0)
def _add(total_NVD: jax.Array, network: Network, part: Passages) -> jax.Array:
  size_B1 = jnp.maximum(part.weights_BT.sum(1, keepdims=True), 1)

  def mean(x_BTD: jax.Array) -> jax.Array:
    return jnp.einsum('BTD,BT->BD', x_BTD, part.weights_BT / size_B1)

  return total_NVD.at[:, part.text_B].add(network.stream(part, mean))


@functools.partial(jax.jit, static_argnums=1)
def formed(vectors_VD: jax.Array, form: str) -> jax.Array:
  """Vectors of one layer in a form, each of length 1.

  Those with the principal directions weighted anew are given along them.
  """
  if form != RAW:
    vectors_VD = vectors_VD - vectors_VD.mean(0)
  if form in (FEWER, WHITENED):
    width = vectors_VD.shape[1]
    variance_D, direction_DD = jnp.linalg.eigh(jnp.matmul(
      vectors_VD.T, vectors_VD, precision='highest'))  # the largest last
    scale_D = jnp.where(
      variance_D > 1e-6 * variance_D[-1], variance_D, jnp.inf)**-0.5 if (
        form == WHITENED) else jnp.arange(width) < width - max(1, width // 100)
    vectors_VD = vectors_VD @ direction_DD * scale_D
  length_V1 = jnp.linalg.norm(vectors_VD, axis=1, keepdims=True)
  return vectors_VD / jnp.where(length_V1 > 0, length_V1, 1)


def closeness(vectors_VD: jax.Array, form: str, words: Sequence[str],
              pairs: Sequence[Pair]) -> np.ndarray:
  """The cosine of each pair, (pairs,)."""
  number = {word: index for index, word in enumerate(words)}
  one, other = (np.array([number[word] for word in column])
                for column in list(zip(*pairs))[:2])
  formed_VD = formed(vectors_VD, form)
  return np.asarray(jnp.sum(formed_VD[one] * formed_VD[other], axis=1), float)


def forms(words: int, width: int) -> tuple[str, ...]:
  """Those that mean something.

  With no more words than directions, whitening sets all words at right angles.
  """
  return FORMS if words > width else FORMS[:-1]


def correlation(one: Sequence[float] | np.ndarray,
                other: Sequence[float] | np.ndarray) -> float:
  """Spearman's; NaN where one does not vary."""
  if min(np.ptp(one), np.ptp(other)) == 0:
    return float('nan')
  return float(stats.spearmanr(one, other).statistic)


def correlations(vectors_NVD: jax.Array, words: Sequence[str],
                 lists: Lists) -> list[Row]:
  """With what people say, by layer, form and list."""
  return [
    Row('word_correlation', value, {'layer': layer, 'form': form, 'list': name})
    for layer, vectors_VD in enumerate(vectors_NVD)
    for form in forms(len(words), vectors_NVD.shape[2])
    for name, pairs in lists.items()
    if (value := correlation(closeness(vectors_VD, form, words, pairs),
                             [pair.human for pair in pairs])) == value]


def baseline(lists: Lists) -> list[Row]:
  """What spelling alone would have."""
  return [Row('word_correlation', correlation(
    [word_lists.spelling(pair) for pair in pairs],
    [pair.human for pair in pairs]), {'form': SPELLING, 'list': name})
    for name, pairs in lists.items()]


def measure(given: Given) -> list[Row]:
  """Correlations of the model and of a random one, and of spelling.

  Raises:
    UsageError: a list is missing or damaged.
  """
  assert given.words
  assert given.tokenizer
  lists = word_lists.read(given.words)
  words = word_lists.words(lists)
  read = sentences(given.tokenizer, words)
  rows = baseline(lists)
  for network, where in given.networks():
    rows += [Row(row.metric, row.value, {**where, **row.where})
             for row in correlations(vectors(network, read, len(words)), words,
                                     lists)]
  return rows


def refusal(given: Given) -> str:
  """Without words, or what spells them, there is nothing to compare."""
  if given.tokenizer is None:
    return 'it reads ids and no text: there are no words in it'
  if given.words is None:
    return f'there are no lists of words; {word_lists.FIX}'
  return ''


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Reading 1,330 words, 10 tokens a time, by two networks; and the forms."""
  del tokens, calibration
  words, length, width = 1330, 10, config.d_model
  count = model.count.flops(config, length)
  own = len(TEMPLATES) * words * (count.mixer + count.feed_forward)
  return 2 * (own + (config.n_layers + 1) * 2 * (
    4 * words * width**2 + 9 * width**3))


INSTRUMENT = Instrument(
  name='word-similarity',
  title='Do words lie close that people find alike?',
  says='How well the closeness of two words follows what people say: 1 wholly, '
       '0 not at all. SimLex-999 asks how similar they are, WordSim-353 how '
       'related (coffee and cup are related and not similar). Spelling, and a '
       'random network, say what is had without any knowledge of words.',
  source='Hill et al., 2015; Finkelstein et al., 2002',
  measure=measure, flops=flops,
  metrics={'word_correlation': "rank correlation with people's judgement"},
  refusal=refusal)
