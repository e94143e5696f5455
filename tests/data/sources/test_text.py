"""Windows, their order and purity, and bits per byte."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corpora import documents, scored_tokens

from data.errors import InputError
from data.sources.text import TextConfig, TextSource
from data.text import corpus

LENGTH = 16
TOKENIZERS = ('bytes', 'unigram', 'bpe')


@pytest.fixture(scope='module', autouse=True)
def cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
    yield


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  folder = tmp_path_factory.mktemp('corpus')
  for i, text in enumerate(corpus.read('')[:30]):
    (folder / f'{i:02}.txt').write_text(text[:800] + ' é 🙂\n')
  return TextConfig(text_path=str(folder), length=LENGTH, vocab_size=352,
                    held_out=0.2)


@pytest.fixture(scope='module', params=TOKENIZERS)
def source(request, config):
  return TextSource(dataclasses.replace(config, tokenizer=request.param))


@pytest.fixture(scope='module')
def bytes_source(config):
  return TextSource(config)


@functools.partial(jax.jit, static_argnums=(0, 3, 5))
def draw(source, instance, seed, split, step, batch_size):
  return source.batch(instance, seed, split, step, batch_size)


def held_out(config):
  _, validation = corpus.split(corpus.read(config.text_path), config.held_out)
  return validation


def scored(source, batch_size, split='validation'):
  """Inputs and targets of weight 1, in the order of evaluation."""
  instance, tokens, targets = source.instance(0), [], []
  for step in range(source.evaluation_steps(split, batch_size)):
    batch = draw(source, instance, 0, split, step, batch_size)
    mask = np.array(batch.weights_BT) == 1
    assert ((np.array(batch.weights_BT) == 0) == ~mask).all()
    tokens.append(np.array(batch.tokens_BT)[mask])
    targets.append(np.array(batch.targets_BT)[mask])
  return np.concatenate(tokens), np.concatenate(targets)


def test_streams_are_the_documents_of_each_split(source, config):
  splits = corpus.split(corpus.read(config.text_path), config.held_out)
  for name, its in zip(('train', 'validation'), splits):
    stream = source.instance(0)[name]
    assert stream.dtype == np.uint16
    assert stream.flags.c_contiguous
    assert source.tokenizer.decode(stream) == ''.join(its)
    separators = np.flatnonzero(stream == source.tokenizer.separator)
    assert separators[0] == 0
    assert len(separators) == len(its)


def test_instance_is_the_same_for_every_seed(source):
  assert source.instance(0) is source.instance(1)


@pytest.mark.parametrize('batch_size', [1, 7, 1000])
def test_every_held_out_token_is_scored_once(source, batch_size):
  stream = source.instance(0)['validation']
  tokens, targets = scored(source, batch_size)
  np.testing.assert_array_equal(tokens, stream[:-1])
  np.testing.assert_array_equal(targets, stream[1:])


@pytest.fixture(scope='module', params=('bytes', 'bpe'))
def leaking(request, tmp_path_factory):
  """Held-out text of which much is in the training text too."""
  folder = tmp_path_factory.mktemp('leaking')
  for i, text in enumerate(documents(60)):
    (folder / f'{i:02}.txt').write_bytes(text.encode())
  return TextConfig(text_path=str(folder), length=LENGTH, held_out=0.3,
                    tokenizer=request.param)


@pytest.mark.parametrize('stride', [3, LENGTH])
def test_overlapping_windows_score_each_token_once(config, stride):
  source = TextSource(dataclasses.replace(config, stride=stride))
  stream = source.instance(0)['validation']
  for found, expected in zip(scored(source, 7), (stream[:-1], stream[1:])):
    np.testing.assert_array_equal(found, expected)
  batches = [draw(source, source.instance(0), 0, 'validation', step, 7)
             for step in range(source.evaluation_steps('validation', 7))]
  weights_WT = np.concatenate([batch.weights_BT for batch in batches])
  assert weights_WT[0].all()
  # All others stand after at least T - stride tokens.
  assert not weights_WT[1:, :LENGTH - stride].any()
  assert weights_WT[1, LENGTH - stride:].all()


def test_overlapping_windows_score_the_same_bytes(leaking):
  """But for separators in windows where nothing else is scored."""
  plain, overlapping = (TextSource(dataclasses.replace(leaking, stride=stride))
                        for stride in (0, 5))
  targets = [[t for t in scored(source, 7)[1]
              if t != source.tokenizer.separator]
             for source in (plain, overlapping)]
  np.testing.assert_array_equal(*targets)


@pytest.mark.parametrize('stride', [-1, LENGTH + 1])
def test_windows_that_leave_gaps_are_refused(config, stride):
  with pytest.raises(InputError, match=rf'source\.stride: {stride} must be'):
    TextSource(dataclasses.replace(config, stride=stride))


@pytest.mark.parametrize('batch_size', [1, 7, 1000])
def test_what_leaks_is_not_scored(leaking, batch_size):
  source = TextSource(leaking)
  training, validation = corpus.split(
    corpus.read(leaking.text_path), leaking.held_out)
  marks = scored_tokens(source.tokenizer, validation, training)
  stream = source.instance(0)['validation']
  expected = []
  for start in range(1, len(stream), LENGTH):
    window = slice(start, start + LENGTH)
    if marks[window].any():  # else nothing is scored, not even a separator
      targets = stream[window]
      separates = targets == source.tokenizer.separator
      expected.append(targets[marks[window] | separates])
  _, targets = scored(source, batch_size)
  np.testing.assert_array_equal(targets, np.concatenate(expected))
  size = sum(len(text.encode()) for text in validation)
  left_out = 1 - source.bytes_V[targets].sum() / size
  assert source.fingerprint['left_out'] == pytest.approx(left_out, abs=1e-6)
  assert 0.2 < left_out < 0.9


def test_every_batch_scores_a_byte(leaking):
  source = TextSource(leaking)
  windows = source.evaluation_steps('validation', 1)
  assert 2 * windows * LENGTH < 1.8 * len(source.instance(0)['validation'])
  for step in range(windows):
    batch = draw(source, source.instance(0), 0, 'validation', step, 1)
    assert (source.bytes_V[batch.targets_BT] * batch.weights_BT).sum() > 0


def test_text_that_leaks_whole_is_refused(tmp_path):
  (tmp_path / 'lines.txt').write_text('The same line, over and over.\n' * 999)
  with pytest.raises(InputError, match=r'text_path: every held-out byte lies'):
    TextConfig(text_path=str(tmp_path / 'lines.txt')).open()


def test_nothing_is_scored_past_the_end(bytes_source):
  steps = bytes_source.evaluation_steps('validation', 4)
  last, beyond = (
    draw(bytes_source, bytes_source.instance(0), 0, 'validation', step, 4)
    for step in (steps - 1, steps))
  assert last.weights_BT.sum() > 0
  assert beyond.weights_BT.sum() == 0


def test_bits_per_byte_are_over_the_same_bytes(source, config):
  """A uniform model's bits per byte follow from counts alone."""
  _, targets = scored(source, 4)
  documents = held_out(config)
  size = sum(len(document.encode()) for document in documents)
  assert source.bytes_V[targets].sum() == size
  tokens = sum(len(source.tokenizer.encode(document)) for document in documents)
  nats = np.full(targets.shape, np.log(source.vocab_size))
  measured = nats.sum() / np.log(2) / source.bytes_V[targets].sum()
  # Each document after the first costs the separator that announces it.
  predicted = tokens + len(documents) - 1
  assert measured == pytest.approx(
    predicted * np.log2(source.vocab_size) / size, rel=1e-12)


def test_train_windows_are_cut_from_the_train_stream(bytes_source):
  stream = bytes_source.instance(0)['train']
  windows = np.lib.stride_tricks.sliding_window_view(stream, LENGTH + 1)
  known = {window.tobytes() for window in windows}
  batch = draw(bytes_source, bytes_source.instance(0), 3, 'train', 5, 64)
  assert batch.tokens_BT.dtype == batch.targets_BT.dtype == jnp.int32
  assert batch.weights_BT.dtype == jnp.float32
  assert (batch.weights_BT == 1).all()
  assert batch.group_B.shape == (64,)
  assert not batch.group_B.any()
  cut = np.concatenate([batch.tokens_BT, batch.targets_BT[:, -1:]], axis=1)
  assert all(row.astype(np.uint16).tobytes() in known for row in cut)
  np.testing.assert_array_equal(batch.tokens_BT[:, 1:],
                                batch.targets_BT[:, :-1])
  assert len({row.tobytes() for row in cut}) > 32


def test_train_windows_reach_both_ends(bytes_source):
  instance = {'train': np.arange(LENGTH + 3, dtype=np.uint16)}
  batch = draw(bytes_source, instance, 0, 'train', 0, 200)
  assert set(np.array(batch.tokens_BT[:, 0])) == {0, 1, 2}
  assert batch.targets_BT.max() == LENGTH + 2


def test_batch_is_pure_and_distinct(bytes_source):
  def starts(seed, split, step):
    batch = draw(bytes_source, bytes_source.instance(0), seed, split, step, 4)
    return np.array(batch.tokens_BT).tobytes()

  assert starts(1, 'train', 2) == starts(1, 'train', 2)
  drawn = {starts(seed, 'train', step) for seed in (0, 1) for step in (0, 1, 2)}
  assert len(drawn) == 6
  assert starts(0, 'validation', 1) == starts(7, 'validation', 1)


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_traced_seeds_steps_and_instances_change_nothing(bytes_source, split):
  instance = bytes_source.instance(0)

  def one(instance, seed, step):
    return bytes_source.batch(instance, seed, split, step, 4)

  seeds, steps = jnp.arange(3), jnp.array([0, 5, 11])
  stacked = jax.tree.map(lambda x: np.stack([x] * 3), dict(instance))
  together = jax.jit(jax.vmap(one))(stacked, seeds, steps)
  _, scanned = jax.lax.scan(
    lambda carry, x: (carry, one(instance, *x)), None, (seeds, steps))
  for r in range(3):
    alone = draw(
      bytes_source, instance, int(seeds[r]), split, int(steps[r]), 4)
    for expected, vmapped, stepped in zip(alone, together, scanned):
      np.testing.assert_array_equal(expected, vmapped[r])
      np.testing.assert_array_equal(expected, stepped[r])


def test_tokenizer_never_sees_the_held_out_documents(config, tmp_path):
  documents = corpus.read(config.text_path)
  validation = set(held_out(config))
  for i, text in enumerate(documents):
    mark = 'жжж ' * 50 if text in validation else ''
    (tmp_path / f'{i:02}.txt').write_text(mark + text)
  marked = TextSource(dataclasses.replace(
    config, text_path=str(tmp_path), tokenizer='bpe'))
  plain = TextSource(dataclasses.replace(config, tokenizer='bpe'))
  assert marked.tokenizer.pieces_V == plain.tokenizer.pieces_V
  assert marked.fingerprint['sha256'] != plain.fingerprint['sha256']


def test_fingerprint_names_corpus_and_tokenizer(source, config):
  documents = corpus.read(config.text_path)
  assert source.fingerprint == {
    **corpus.fingerprint(documents), 'tokenizer': source.tokenizer.name,
    'left_out': 0.0,
    'held_out_bytes': sum(len(d.encode()) for d in held_out(config))}


def test_train_is_endless_and_there_is_no_test_split(bytes_source):
  assert bytes_source.evaluation_steps('train', 4) is None
  with pytest.raises(InputError, match="no 'test' split"):
    bytes_source.evaluation_steps('test', 4)
  with pytest.raises(InputError, match="no 'test' split"):
    bytes_source.batch(bytes_source.instance(0), 0, 'test', 0, 4)


def test_a_split_shorter_than_a_window_is_refused(config):
  with pytest.raises(InputError, match=r'source\.length: .* validation split'):
    TextSource(dataclasses.replace(config, length=10_000))
  with pytest.raises(InputError, match=r'source\.length: 0 must be at least 1'):
    TextSource(dataclasses.replace(config, length=0))


def test_the_longest_window_that_fits_is_taken(config, bytes_source):
  shortest = len(bytes_source.instance(0)['validation'])
  assert shortest < len(bytes_source.instance(0)['train'])
  TextSource(dataclasses.replace(config, length=shortest - 1))
  with pytest.raises(InputError, match=r'source\.length'):
    TextSource(dataclasses.replace(config, length=shortest))


def test_default_source_is_the_embedded_prose():
  prose = TextSource(TextConfig())
  assert prose.fingerprint['documents'] == len(corpus.read(''))
  share = len(prose.instance(0)['validation']) / prose.fingerprint['bytes']
  assert 0.02 < share < 0.3
  # Its chapters contain each other.
  assert 0.3 < prose.fingerprint['left_out'] < 0.7
