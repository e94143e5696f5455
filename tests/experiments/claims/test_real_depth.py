"""Depth in a real model: each verdict can be had, from small networks on."""

import json

import jax
import numpy as np
import planting
import polars as pl
import pytest

from experiments.claims import models
from experiments.claims.real_depth import (
  EXPERIMENT,
  streaming,
  surrogates,
  texts,
  use,
)
from experiments.commands import main
from experiments.instruments import passages
from experiments.instruments.network import Network
from experiments.judge import verdict
from experiments.judge.declaration import Claim
from experiments.judge.table import PLACES, RUN
from experiments.report import figures, sentence
from model import (
  AttentionConfig,
  GatedFeedForward,
  ModelConfig,
  RotaryPosition,
  init,
)

TEXTS = texts.Size('').texts


@pytest.fixture(scope='module')
def network():
  config = ModelConfig(
    n_layers=6, d_model=16, vocab_size=31, mixer=AttentionConfig(n_heads=2),
    position=RotaryPosition(), norm='rms', feed_forward=GatedFeedForward(),
    unembedding='tied', unroll=1)
  return Network(init(config, jax.random.key(0)), config)


@pytest.fixture(scope='module')
def read():
  ids = np.random.default_rng(0).integers(31, size=(2, 13)).tolist()
  cut = passages.cut(ids, 12)
  return passages.Passages(*(x[cut.valid_BT.all(1)] for x in cut))


def table(part, rows):
  """The rows of a part as a results table."""
  schema = {**RUN, **PLACES, 'network': pl.String}
  return pl.DataFrame([
    {**dict.fromkeys(schema), 'stratum': part.name, 'arm': 'SmolLM2',
     'run': 'r', 'status': 'done', 'metric': row.metric,
     'value': float(row.value), **row.where}
    for row in rows], schema_overrides=schema, infer_schema_length=None)


def judged(part, rows):
  claim = Claim('c', 'C', 'It is so.', '', (part.declare('cpu'),))
  return verdict.judge(claim, table(part, rows), {part.name: 1}, 'c', False,
                       planting.SEALED).strata[0]


def surrogate_rows(explained, kept, again=None):
  """Curves of each kind with noise of their own for each text."""
  rng = np.random.default_rng(0)

  def curve(metric, at, values, noise=0.01, **where):
    return [surrogates.Row(
      metric, value + noise * rng.normal(),
      {'span': k, 'text': text, **where})
      for text in range(TEXTS) for k, value in zip(at, values(np.array(at)))]

  return [
    *curve('explained', surrogates.SPANS, explained, coordinates='even'),
    *curve('words_kept', surrogates.REPLACED, kept),
    *curve('words_kept_from', surrogates.FROM_MIDDLE, again or kept,
           start=surrogates.MIDDLE),
    *curve('explained', surrogates.SPANS, lambda k: 0.9 - 0.1 * np.log(k),
           coordinates='even', network='random')]


def bent(at):
  return lambda k: 0.9 - 0.06 * np.minimum(k, at)


def smooth(k):
  return 0.9 - 0.2 * np.log(k)


@pytest.mark.parametrize(('explained', 'kept', 'expected'), [
  (bent(10.5), bent(10.5), 'supported'), (smooth, smooth, 'refuted'),
  (bent(4), bent(4), 'refuted'), (bent(10.5), smooth, 'conditional'),
  (smooth, bent(10.5), 'conditional'),
  (lambda k: 0.9 - 0.03 * k, bent(10.5), 'inconclusive')])
def test_surrogates_can_have_every_verdict(explained, kept, expected):
  found = judged(surrogates.PART, surrogate_rows(explained, kept))
  assert found.verdict == expected
  assert 'SmolLM2' in sentence.of_stratum(surrogates.PART, found)


@pytest.mark.parametrize('explained', [bent(10.5), smooth])
def test_a_break_that_one_block_makes_supports_nothing(explained):
  # From the middle on that block is behind, and the curve is smooth.
  found = judged(surrogates.PART, surrogate_rows(explained, bent(10.5), smooth))
  assert found.verdict == 'inconclusive'
  words = sentence.of_stratum(surrogates.PART, found)
  assert 'but not where they begin in the middle' in words


def test_a_break_without_training_is_no_finding():
  rows = surrogate_rows(bent(10.5), bent(10.5))
  same = [surrogates.Row(r.metric, r.value, {**r.where, 'network': 'random'})
          for r in rows if r.metric == 'explained' and 'network' not in r.where]
  kept = [r for r in rows if 'network' not in r.where]
  assert judged(surrogates.PART, [*kept, *same]).verdict == 'invalid'


def of(lost):
  return use.Lost(lost, np.ones_like(lost))


def use_rows(likelihood, generation, first=2.0):
  """What is lost without each block, with these shares of the later half."""
  rng = np.random.default_rng(0)

  def lost(share):
    inner = np.r_[np.full(14, 1 - share), np.full(14, share)]
    lost_N = np.r_[first, inner, 0.5]
    return of(lost_N[:, None] * (1 + 0.05 * rng.normal(size=(30, TEXTS))))

  return [
    *use.rows({use.LIKELIHOOD: lost(likelihood), use.WORDS: lost(likelihood),
               use.GENERATION: lost(generation),
               use.WRITTEN: lost(generation)}),
    *use.rows({use.LIKELIHOOD: of(0.001 * rng.normal(size=(30, 2))),
               use.WORDS: of(np.zeros((30, 2)))}, {'network': 'random'})]


@pytest.mark.parametrize(('likelihood', 'generation', 'expected'), [
  (0.4, 0.45, 'supported'), (0.1, 0.15, 'refuted'), (0.1, 0.4, 'conditional'),
  (0.4, 0.1, 'conditional'), (0.25, 0.4, 'inconclusive')])
def test_use_can_have_every_verdict(likelihood, generation, expected):
  found = judged(use.PART, use_rows(likelihood, generation))
  assert found.verdict == expected
  assert 'SmolLM2' in sentence.of_stratum(use.PART, found)


def test_blocks_of_which_none_is_needed_show_nothing():
  assert judged(use.PART, use_rows(0.4, 0.4, first=0.1)).verdict == 'invalid'


def streaming_rows(**changed):
  values = {'bits_that_differ': 0.0, 'bytes_in_memory_over_allowed': 0.9,
            'share_of_the_model_in_memory': 0.3, **changed}
  return [*(streaming.Row(k, v) for k, v in values.items() if k not in WITHOUT),
          *(streaming.Row(metric, values.get(metric, 0.5), {'layer': layer})
            for metric in WITHOUT for layer in range(3))]


WITHOUT = ('change_without_it', 'answers_that_change_without_it')


@pytest.mark.parametrize(('changed', 'expected'), [
  ({}, 'conditional'), ({'change_without_it': 0.0}, 'refuted'),
  ({'share_of_the_model_in_memory': 1.0}, 'supported'),
  ({'bits_that_differ': 1.0}, 'invalid'),
  ({'bytes_in_memory_over_allowed': 1.1}, 'invalid')])
def test_streaming_can_have_every_verdict(changed, expected):
  assert judged(streaming.PART, streaming_rows(**changed)).verdict == expected


def test_figures_are_drawn_of_what_was_measured():
  for part, rows in ((surrogates.PART, surrogate_rows(smooth, smooth)),
                     (use.PART, use_rows(0.4, 0.4)),
                     (streaming.PART, streaming_rows())):
    plots = figures.of_part(table(part, rows), part, judged(part, rows))
    assert plots
    assert all(plot.svg and plot.rows for plot in plots)
    empty = table(part, rows[:1]).clear()
    assert not any(plot.svg for plot in figures.of_part(
      empty, part, judged(part, rows)))


def test_curves_of_a_network_are_shares_of_each_text(network, read):
  rows = surrogates.curves(network, read, read, 4, ridge=1e-3)
  kept = [row for row in rows if row.metric == 'words_kept']
  assert {row.where['span'] for row in kept} == {1, 2, 3, 4, 5}
  assert {row.where['text'] for row in rows} == {0, 1}
  assert {row.where['span'] for row in rows if row.where.get('start') == 3
          } == {1, 2, 3}
  assert all(0 <= row.value <= 1 for row in kept)
  assert all(row.value <= 1 for row in rows)
  assert not any(row.metric == 'words_kept' for row in surrogates.curves(
    network, read, read, 0))


def test_a_block_without_its_outputs_adds_nothing(network, read):
  before = network.stream(read)
  after = Network(use.without(network.params, 3), network.config).stream(read)
  np.testing.assert_array_equal(after[3], after[2])
  np.testing.assert_array_equal(after[:3], before[:3])
  assert not np.array_equal(after[4], before[4])


def test_writing_changes_where_a_block_that_is_needed_is_missing(network):
  # Block 5 alone writes a word, the same everywhere; without it another is.
  params = network.params
  for layer in (1, 2, 3, 4, 6):
    params = use.without(params, layer)
  found = use.written(Network(params, network.config),
                      [np.array([1, 2, 3]), np.array([4, 5, 6])], 6)
  departs, until = found[use.GENERATION]
  words, _ = found[use.WRITTEN]
  assert departs.shape == until.shape == words.shape == (6, 2)
  for lost in (departs, words):
    assert np.all(np.delete(lost, 4, 0) == 0)
    assert lost[4].max() > 0
  assert np.all(np.delete(until, 4, 0) == 6)
  assert np.all(until[4] + words[4] - departs[4] <= 6)


def test_the_later_half_is_counted_without_the_ends():
  lost = np.array([9.0, 1, 1, 3, 3, 9])[:, None]
  assert use.later_share(of(lost)) == pytest.approx([0.75])
  assert use.later_share(of(lost), 0) == pytest.approx([15 / 26])
  assert use.later_share(of(0 * lost)).tolist() == [0]
  # Rates of a half are pooled: few words until the first departure weigh more.
  assert use.later_share(use.Lost(
    np.ones((6, 1)), np.array([1.0, 4, 4, 1, 3, 1])[:, None])
  ) == pytest.approx([0.5 / (0.5 + 0.25)])


def test_chapters_are_judged_fitted_on_and_piloted_apart():
  dealt = [set(texts.chapters(role)) for role in texts.ROLES]
  assert all(len(own) >= TEXTS for own in dealt)
  assert len(set.union(*dealt)) == sum(map(len, dealt))


@pytest.mark.slow
@pytest.mark.skipif(models.find(models.SMOLLM2) is None,
                    reason='needs make models')
def test_the_real_model_is_streamed_from_its_own_file(tmp_path):
  with pytest.raises(SystemExit) as stop:
    main.main(['run', EXPERIMENT.name, '--preset=smoke', '--strata=streaming',
               '--workers=0', f'--runs={tmp_path}'])
  assert stop.value.code == 0
  folder = tmp_path / 'real-depth' / 'smoke' / 'only-streaming'
  record = json.loads((folder / 'verdict.json').read_text())
  assert record['evidence'] == 'smoke'
  [streaming] = [own for own in record['strata'] if own['name'] == 'streaming']
  assert {control['name']: control['passed']
          for control in streaming['controls']} == {
            'the same bits': True, 'one layer at a time': True}
