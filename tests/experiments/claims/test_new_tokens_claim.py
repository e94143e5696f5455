"""The new-tokens claim: what is trained, what is measured, what it decides."""

import dataclasses
import itertools
import math

import jax
import numpy as np
import planting
import polars as pl
import pytest

import model
from experiments.claims.new_tokens import (
  EXPERIMENT,
  exact,
  figures,
  methods,
  problems,
)
from experiments.claims.new_tokens.methods import (
  FINE_TUNING,
  METHODS,
  OWN,
  PARENT,
  REPLAY,
  RETRAINING,
  WIDE,
)
from experiments.judge.verdict import apply
from experiments.runs.subject import Subject
from experiments.sweeps import plan
from experiments.sweeps.algebra import Cell
from experiments.sweeps.identity import run_id
from experiments.sweeps.task import Train
from train import programs


@pytest.fixture(scope='module')
def planned(tmp_path_factory):
  runs = tmp_path_factory.mktemp('runs')
  return plan.make(EXPERIMENT, 'cpu', (), {}, runs)


def new_text(task):
  """The new text that a run reads; None where it reads none."""
  source = task.config.data.source
  read = source.parts[0].source if hasattr(source, 'parts') else source
  return read if read.text == 'new' else None


def test_methods_of_a_seed_start_from_one_parent(planned):
  parents = {run_id(cell.task): cell.task for cell in planned.cells
             if cell.arm == PARENT}
  assert len(parents) == 16  # eight of each width
  for cell in planned.cells:
    if cell.arm in (PARENT, RETRAINING):
      assert cell.task.start is None
    else:
      parent, config = parents[run_id(cell.task.start)], cell.config
      assert parent.config.train.seed == config.train.seed
      assert parent.config.data.seed == config.data.seed
      assert parent.config.model == config.model


def test_seeds_and_similarities_train_side_by_side(planned):
  groups = planned.groups()
  assert sum(len(group.tasks) for group in groups) == len(planned.tasks())
  # A program for each method and width, whatever the similarity.
  arms = {(c.arm, c.config.model.d_model) for c in planned.cells}
  assert len(groups) == len(arms)
  for group in groups:
    assert {t.config.train.seed for t in group.tasks} == set(range(8, 16))


def test_retraining_reads_as_many_tokens_in_the_same_proportion(planned):
  steps = {c.arm: c.config.train.steps for c in planned.cells}
  assert steps[RETRAINING] == steps[PARENT] + steps[FINE_TUNING]
  share = steps[PARENT] / steps[RETRAINING]
  assert METHODS[RETRAINING].replay == pytest.approx(share)


def set_by_hand(source, seed):
  """A model that says the exact probabilities of a text, and its config.

  Its layers write nothing, and its width has room for each token.
  """
  size = source.open().vocab_size
  config = programs.complete(dataclasses.replace(
    methods.BASE, model=dataclasses.replace(
      methods.BASE.model, d_model=size + 4, base_width=size + 4, n_layers=1),
    data=dataclasses.replace(methods.BASE.data, source=source, seed=seed)))
  params = jax.tree.map(
    lambda x: np.zeros(x.shape, np.float32), jax.eval_shape(
      lambda: model.init(config.model, jax.random.key(0))))
  params['norm']['scale_D'][:] = 1
  params['token_embedding']['embedding_VD'][:, :size] = np.eye(size)
  chances_VV = source.open().instance(seed)['transition_VV']
  # A vector with one entry has this length after the norm.
  params['unembedding']['w_DV'][:size] = np.log(
    np.maximum(chances_VV, 1e-12)) / math.sqrt(size + 4)
  return config, params


@pytest.mark.parametrize('text', ['old', 'new'])
def test_a_model_of_the_exact_probabilities_has_no_excess(text):
  source = dataclasses.replace(methods.METHODS[FINE_TUNING].source(0.5),
                               text=text)
  config, params = set_by_hand(source, seed=100)
  rows = {row.metric: row for row in exact.measure(
    Subject('', Train(config), params=lambda: params))}
  assert rows[f'{text}_excess'].value == pytest.approx(0, abs=1e-4)
  assert rows[f'{text}_excess_among_old'].value == pytest.approx(0, abs=1e-4)
  assert 0.5 < rows['old_entropy'].value < math.log(4)
  if text == 'new':
    assert rows['new_excess'].where == {'similarity': 0.5, 'share': 0.5}
    # On old text it gives new tokens their share, and is right but for that.
    assert rows['old_excess'].value == pytest.approx(math.log(2), abs=1e-3)
    assert rows['old_excess_among_old'].value == pytest.approx(0, abs=1e-4)
  else:
    assert 'new_excess' not in rows


def test_the_picture_shows_who_knows_what_follows():
  """One model says the exact probabilities of new text, one of old text."""
  sources = {RETRAINING: METHODS[RETRAINING].source(0.0),
             FINE_TUNING: METHODS[FINE_TUNING].source(0.0)}
  texts = {RETRAINING: 'old', FINE_TUNING: 'new'}
  done = []
  for arm, source in sources.items():
    text = dataclasses.replace(METHODS[FINE_TUNING].source(0.0),
                               text=texts[arm])
    config, params = set_by_hand(text, seed=100)
    task = Train(dataclasses.replace(config, data=dataclasses.replace(
      config.data, source=source)))
    done.append((Cell('mixing', arm, task),
                 Subject('', task, params=lambda params=params: params)))
  assert problems.followers(done) is None  # they are of another width
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(problems, 'WIDTH', done[0][1].config.model.d_model)
    found = problems.followers(done)
  # What follows a new token is the same in both; an old one, by the model of
  # new text, is followed by a new one half of the time.
  new, old = found.told.split('. ')
  assert new.endswith('in new text, probability is given: fine-tuning 100%, '
                      'retraining 100%')
  assert old.endswith('in old text, probability is given: fine-tuning 50%, '
                      'retraining 100%.')


def planted(of, old, new):
  """The table of a plan: (arm, similarity) to excess, and a little by seed."""
  tasks = {run_id(cell.task): cell.task for cell in of.cells}
  rows = []
  for run in planting.blank(of).to_dicts():
    text = new_text(tasks[run['run']])
    s, share = (text.similarity, text.share) if text else (None, None)
    found = {'old_excess': old(run['arm'], s or 0.0, share or 0.5)}
    if text:
      found['new_excess'] = new(run['arm'], s)
    rows += [{**run, 'metric': f'{metric}{more}', 'similarity': s,
              'share': share, 'value': value + 0.001 * (run['seed'] % 3)}
             for metric, value in found.items() for more in ('', '_among_old')]
  return pl.DataFrame(rows, infer_schema_length=None)


def forgets(arm, s, share):
  """Old text, where fine-tuning fails the less similar new tokens are."""
  return {PARENT: 0.02, RETRAINING: 0.02, REPLAY: 0.03, OWN: 0.03}.get(
    arm, 0.6 - 0.4 * s)


def forgets_alike(arm, s, share):
  return forgets(arm, 0.0, share)


def forgets_unless_rehearsed(arm, s, share):
  return forgets(arm, s if share > 0.5 else 0.0, share)


def replay_lags(arm, s, share):
  return 0.09 if arm == REPLAY else forgets(arm, s, share)


def replay_leads(arm, s, share):
  return {REPLAY: 0.01, RETRAINING: 0.045}.get(arm, forgets(arm, s, share))


@pytest.mark.parametrize(('old', 'verdicts'), [
  (forgets, {'fine-tuning': 'supported', 'mixing': 'supported',
             'retraining': 'refuted'}),
  (forgets_alike, {'fine-tuning': 'refuted', 'mixing': 'supported',
                   'retraining': 'refuted'}),
  (forgets_unless_rehearsed, {
    'fine-tuning': 'refuted', 'mixing': 'supported',
    'retraining': 'refuted'}),
  (replay_lags, {'fine-tuning': 'supported', 'mixing': 'conditional',
                 'retraining': 'supported'}),
  (replay_leads, {'fine-tuning': 'supported', 'mixing': 'supported',
                  'retraining': 'refuted'}),
  (lambda arm, s, share: forgets(arm, 1 - s, share), {
    'fine-tuning': 'refuted', 'mixing': 'supported', 'retraining': 'refuted'}),
  (lambda arm, s, share: 0.02, {'fine-tuning': 'refuted', 'mixing': 'refuted',
                         'retraining': 'refuted'}),
  (lambda *at: forgets(*at) + 0.04, dict.fromkeys(
    ('fine-tuning', 'mixing', 'retraining'), 'invalid')),
])
def test_verdicts_follow_what_was_planted(old, verdicts, planned):
  rows = planted(planned, old, lambda arm, s: 0.02)
  result = planting.judged(planned, rows)
  assert {s.name: s.verdict for s in result.strata} == verdicts


STATES = ('supported', 'equivalent', 'opposite', 'inconclusive')


@pytest.mark.parametrize('part', EXPERIMENT.parts, ids=lambda part: part.name)
def test_a_verdict_is_open_just_where_what_is_open_decides(part):
  stratum = part.declare('cpu')
  names = sorted({name for _, premises in stratum.rule.lists()
                  for name, _ in premises})

  def verdict(states):
    found = {effect.name: 'inconclusive' for effect in stratum.effects}
    return apply(stratum, found | dict(zip(names, states)))[0]

  for states in itertools.product(STATES, repeat=len(names)):
    ends = {verdict(end) for end in itertools.product(*(
      STATES[:3] if state == 'inconclusive' else [state]
      for state in states))}
    assert 'inconclusive' not in ends
    assert verdict(states) == (ends.pop() if len(ends) == 1
                               else 'inconclusive'), (names, states)


def test_mixing_is_conditional_only_where_retraining_is_shown_to_be_better():
  stratum = next(p for p in EXPERIMENT.parts if p.name == 'mixing').declare(
    'cpu')
  verdicts = {
    against: apply(stratum, {
      'gain of replay': 'supported', 'replay against retraining': against})[0]
    for against in STATES}
  assert verdicts == {
    'supported': 'conditional', 'equivalent': 'supported',
    'opposite': 'supported', 'inconclusive': 'inconclusive'}


def test_figures_show_regret_and_forgetting(planned):
  rows = planted(planned, forgets, lambda arm, s: 0.02 + 0.1 * s)
  done = rows.filter(stratum='mixing', status='done')
  priced = figures.priced(done)

  def mean(metric, arm, s, width):
    return priced.filter(metric=metric, arm=arm, similarity=s,
                         d_model=width, share=0.5)['value'].mean()

  assert mean('regret', REPLAY, 0.0, WIDE) == pytest.approx(0)
  assert mean('forgetting', FINE_TUNING, 0.0, 32) == pytest.approx(0.58)
  result = planting.judged(planned, rows)
  stratum = next(s for s in result.strata if s.name == 'mixing')
  plots = figures.draw(done, stratum)
  assert len(plots) == 2
  assert all(plot.svg and plot.rows for plot in plots)
  assert PARENT not in set(priced['arm'])
