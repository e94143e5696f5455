"""The statements about geometry: their plan, measures and verdicts."""

import types

import numpy as np
import planting
import polars as pl
import pytest

import train
from data.sources.markov import MarkovConfig
from experiments.claims.geometry import (
  EXPERIMENT,
  chain,
  density,
  distance,
  problems,
  relinking,
  similarity,
  transitions,
)
from experiments.instruments import geometry
from experiments.runs.subject import Subject
from experiments.sweeps import plan
from experiments.sweeps.identity import run_id

STRATA = ('similarity', 'dimension', 'density', 'transitions', 'distance')
# What pilots found, and a place to plant something else.
FOUND = {
  'excess': lambda **_: 0.03,
  'similarity_correlation': lambda network, **_: (
    0.65 if network == 'trained' else 0.0),
  'participation': lambda network, **_: 0.5 if network == 'trained' else 0.8,
  'sparseness_correlation': lambda network, table, arm, **_: (
    0.65 if network == 'trained' and (
      table == chain.OUTPUT or arm == 'one table') else 0.0),
  'crowding_correlation': lambda **_: 0.9,
  'degree': lambda rng: rng.standard_normal(),
  'determination': lambda network, pairs, **_: (
    0.1 if network == 'frequency' else
    0.98 if pairs == transitions.PAIRS[0] else 0.7),
  'link_area': lambda **_: 1.0,
  'link_advantage': lambda arm, **_: (
    0.02 if arm == 'two tables' else 0.096),
  'cluster_area': lambda **_: 0.9,
  'far_area': lambda **_: 0.7,
}


def rows(arm, world, found):
  """The numbers that are read of one run, as columns of the table."""
  rng = np.random.default_rng([world, len(arm)])
  two = arm == 'two tables'
  wheres = {
    'excess': [{}],
    'similarity_correlation': [
      {'form': similarity.FORMS[0], 'side': side}
      for side in (similarity.FOLLOWERS, similarity.BOTH)],
    'participation': [{}],
    'sparseness_correlation': [{
      'distance': density.DISTANCE, 'given': density.GIVEN[0],
      'tokens': density.TOKENS[0]}],
    'crowding_correlation': [{'distance': density.DISTANCE}],
    'determination': [{'pairs': pairs} for pairs in transitions.PAIRS],
    'link_advantage': [{'distance': distance.NEARNESS, 'pairs': 'far'}],
    'cluster_area': [{'distance': distance.NEARNESS}],
    'far_area': [{'distance': distance.NEARNESS}]}
  named = []
  for metric, places in wheres.items():
    for place in places:
      of = [{}] if metric == 'excess' else [
        {'network': network} for network in (*chain.NETWORKS, 'frequency')]
      if metric not in ('excess', 'determination'):
        of = [{**w, 'table': t} for w in of
              for t in (chain.INPUT, chain.OUTPUT)[:2 if two else 1]]
      named += [(metric, {**w, **place}) for w in of]
  named.append(('link_area', {'network': 'trained',
                              'table': distance.PREDICTION}))
  numbers = [{'metric': metric, 'value': found[metric](arm=arm, **where)
              + 0.004 * (world % 3), **where}
             for metric, where in named]
  for item in range(40):
    place = {'network': 'trained', 'table': chain.INPUT,
             'item': 1000 * world + item, 'world': world}
    degree = found['degree'](rng)
    numbers += [
      {'metric': 'degree_residual', 'value': degree, **place},
      {'metric': 'sparseness_residual', **place,
       'value': degree + 0.5 * rng.standard_normal()}]
  return numbers


def results(planned, **changed):
  """The table of a plan, with all that is read of each run."""
  blank = planting.blank(planned).drop('metric', 'value').to_dicts()
  return pl.DataFrame([
    {**run, **number} for run in blank for number in rows(
      run['arm'], run['instance'], {**FOUND, **changed})],
    infer_schema_length=None)


def verdicts(tmp_path, **changed):
  planned = plan.make(EXPERIMENT, 'cpu', (), {}, tmp_path)
  judged = planting.judged(planned, results(planned, **changed))
  return {s.name: s.verdict for s in judged.strata if s.name in STRATA}


def test_figures_show_every_table_of_both_networks(tmp_path):
  planned = plan.make(EXPERIMENT, 'smoke', (), {}, tmp_path)
  shown = results(planned).filter(pl.col('network') != 'frequency')
  for part in (similarity.PART, density.PART, distance.PART):
    stratum = types.SimpleNamespace(name=part.name)
    plot = part.figures(shown.filter(stratum=part.name), stratum)[0]
    for word in ('two tables', 'one table', 'untrained', 'input', 'output'):
      assert word in plot.svg, (part.name, word)
  for part in EXPERIMENT.parts:  # nothing is finished
    for plot in part.figures(planting.blank(planned).head(0), stratum):
      assert not plot.svg


def test_all_strata_measure_the_same_sixteen_runs(tmp_path):
  cells = plan.make(EXPERIMENT, 'cpu', (), {}, tmp_path).cells
  assert {cell.stratum for cell in cells} == set(STRATA)
  assert len({run_id(cell.task) for cell in cells}) == 16
  assert {(cell.config.data.seed, cell.config.train.seed)
          for cell in cells} == {(world, world) for world in range(8, 16)}
  assert {(cell.arm, cell.config.model.unembedding) for cell in cells} == {
    ('two tables', 'separate'), ('one table', 'tied')}


def test_what_pilots_found_is_what_they_are_judged_as(tmp_path):
  assert verdicts(tmp_path) == {
    'similarity': 'supported', 'dimension': 'supported',
    'density': 'supported', 'transitions': 'conditional',
    'distance': 'inconclusive'}


def told(one_table, two_tables):
  return lambda arm, **_: two_tables if arm == 'two tables' else one_table


def after(value, before=0.0):
  return lambda network, **_: value if network == 'trained' else before


@pytest.mark.parametrize(('changed', 'expected'), [
  ({'similarity_correlation': lambda **_: 0.1,
    'participation': after(0.1, before=0.8),
    'link_advantage': told(-0.2, -0.2),
    'determination': lambda network, **_: (
      0.97 if network == 'trained' else 0.1),
    'sparseness_correlation': lambda **_: 0.65},
   ['refuted', 'refuted', 'invalid', 'supported', 'refuted']),
  # Not shown is no condition; shown otherwise with one table is.
  ({'link_advantage': told(0.098, 0.02),
    'sparseness_correlation': lambda network, table, **_: (
      0.65 if table == chain.INPUT else 0.296) * (network == 'trained'),
    'determination': lambda network, **_: 0.1},
   ['supported', 'supported', 'inconclusive', 'refuted', 'inconclusive']),
  ({'link_advantage': told(0.2, 0.02),
    'similarity_correlation': lambda network, arm, **_: (
      0.65 if arm == 'two tables' else -0.4) * (network == 'trained'),
    'sparseness_correlation': lambda network, arm, **_: (
      0.65 if arm == 'one table' else -0.4) * (network == 'trained')},
   ['conditional', 'supported', 'conditional', 'conditional', 'conditional']),
  ({'link_advantage': told(0.02, 0.02), 'sparseness_correlation': after(0.0)},
   ['supported', 'supported', 'refuted', 'conditional', 'supported']),
  ({'far_area': lambda **_: 0.5, 'participation': lambda **_: 0.5},
   ['supported', 'invalid', 'supported', 'conditional', 'invalid']),
  ({'excess': lambda **_: 0.5}, ['invalid'] * 5)])
def test_what_it_decides_on_decides(changed, expected, tmp_path):
  found = verdicts(tmp_path, **changed)
  assert [found[stratum] for stratum in STRATA] == expected


def test_one_world_that_is_not_learned_is_enough(tmp_path):
  planned = plan.make(EXPERIMENT, 'cpu', (), {}, tmp_path)
  worst = (pl.col('metric') == 'excess') & (pl.col('instance') == 8)
  judged = planting.judged(planned, results(planned).with_columns(
    value=pl.when(worst).then(0.11).otherwise('value')))
  assert {s.verdict for s in judged.strata if s.name in STRATA} == {'invalid'}


def test_worlds_are_what_is_resampled(tmp_path):
  planned = plan.make(EXPERIMENT, 'cpu', (), {}, tmp_path)
  judged = planting.judged(planned, results(planned))
  stratum, = (s for s in judged.strata if s.name == 'density')
  assert {effect.replicates for effect in stratum.effects} == {8}


@pytest.fixture(scope='module')
def world():
  """A run of which only the world is asked."""
  source = MarkovConfig().open()
  run = types.SimpleNamespace(
    source=source, instance=source.instance(0),
    config=types.SimpleNamespace(data=types.SimpleNamespace(seed=7)))
  return run, chain.planted(run)


@pytest.fixture(scope='module')
def other_RVV(world):
  run, known = world
  return relinking.linked(relinking.relinked(
    run.instance['link_V'], known.far_VV, np.random.default_rng(0)))


def test_other_links_are_far_and_as_many_end_at_each_token(world, other_RVV):
  run, known = world
  del run
  assert not (other_RVV & ~known.far_VV).any()
  assert (other_RVV.sum(axis=2) == 1).all()
  assert (other_RVV.sum(axis=1) == known.degree_V).all()
  planted = (other_RVV & known.link_VV).sum(axis=(1, 2))
  assert planted.max() < 20  # of 128
  assert abs(planted[:50].mean() - planted[-50:].mean()) < 2


def test_tokens_that_are_linked_to_may_lie_together_and_tell_no_link(
    world, other_RVV):
  run, known = world
  table_VD = np.random.default_rng(0).standard_normal((128, 32))
  table_VD[:, 0] += 4 * (known.degree_V > 0)
  rows = distance.table_rows(run, known, table_VD, other_RVV)
  where = {'distance': 'cosine', 'pairs': 'far'}
  assert numbers(rows, 'link_area', **where)[0] > 0.6
  assert abs(numbers(rows, 'link_advantage', **where)[0]) < 0.07


def numbers(rows, metric, **where):
  return [row.value for row in rows if row.metric == metric
          and where.items() <= row.where.items()]


def test_vectors_of_what_follows_are_similar_and_tell_no_links(
    world, other_RVV):
  run, known = world
  table_VD = geometry.positive_information(
    known.transition_VV, known.frequency_V)
  found, = numbers(similarity.table_rows(run, known, table_VD),
                   'similarity_correlation', form='as it is',
                   side=similarity.FOLLOWERS)
  assert found == pytest.approx(1)
  rows = distance.table_rows(run, known, table_VD, other_RVV)
  assert numbers(rows, 'cluster_area')[0] > 0.95
  assert numbers(rows, 'link_area', distance='cosine', pairs='far')[0] == (
    pytest.approx(0.5, abs=0.1))
  assert numbers(rows, 'link_area', distance='cosine', pairs='all')[0] < 0.4


def test_vectors_that_lie_at_their_link_tell_it(world, other_RVV):
  run, known = world
  rng = np.random.default_rng(0)
  table_VD = rng.standard_normal((128, 32))
  for nearness in numbers(
      distance.table_rows(run, known, table_VD, other_RVV), 'link_advantage'):
    assert nearness == pytest.approx(0, abs=0.08)
  table_VD += 3 * table_VD[run.instance['link_V']]
  assert min(numbers(distance.table_rows(run, known, table_VD, other_RVV),
                     'link_advantage')) > 0.2


def test_attention_scores_pair_a_token_with_one_before_it():
  """Queries read the second direction of a vector, keys the first."""
  rng = np.random.default_rng(0)
  table_VD = rng.standard_normal((5, 4))
  w_q, w_k = np.zeros((2, 4, 1, 2))
  w_q[1, 0, 0] = w_k[0, 0, 0] = 1
  ones, zeros = np.ones((1, 4)), np.zeros((1, 4))
  scores, = distance.attention_scores(
    types.SimpleNamespace(config=types.SimpleNamespace(
      model=types.SimpleNamespace(unembedding='tied'))),
    {'token_embedding': {'embedding_VD': table_VD},
     'stack': {'mixer_norm': {'scale_D': ones, 'b_D': zeros},
               'mixer': {'w_q_DHK': w_q[None], 'w_k_DGK': w_k[None]}}}
  ).values()
  unit_VD = ((table_VD - table_VD.mean(1, keepdims=True))
             / table_VD.std(1, keepdims=True))
  np.testing.assert_allclose(scores, np.outer(unit_VD[:, 0], unit_VD[:, 1]),
                             atol=1e-5)


def test_who_is_linked_to_by_many_is_sparse_whatever_its_frequency(world):
  run, known = world
  rng = np.random.default_rng(0)
  centre_VD = rng.standard_normal((8, 32))[known.cluster_V]
  noise_VD = rng.standard_normal((128, 32))
  for scale_V, planted in ((known.degree_V, True), (known.frequency_V, False)):
    rows = density.table_rows(run, known, centre_VD + noise_VD * (
      0.1 + scale_V / scale_V.max())[:, None])
    found, = numbers(rows, 'sparseness_correlation', distance=density.DISTANCE,
                     given=density.GIVEN[0], tokens=density.TOKENS[0])
    assert (found > 0.6) if planted else abs(found) < 0.2
    residuals = [numbers(rows, f'{name}_residual')
                 for name in ('sparseness', 'degree')]
    assert np.corrcoef(residuals)[0, 1] == pytest.approx(found)
  assert {row.where['item'] for row in rows if 'item' in row.where} == set(
    range(7000, 7128))


def test_tokens_that_share_a_vector_with_their_link_crowd(world):
  run, known = world
  rng = np.random.default_rng(0)
  ends_VD = rng.standard_normal((128, 32))[run.instance['link_V']]
  rows = density.table_rows(
    run, known, ends_VD + 0.1 * rng.standard_normal((128, 32)))
  assert min(numbers(rows, 'crowding_correlation')) > 0.6


def test_pictures_show_the_planted_link_and_what_the_model_gives_it(tmp_path):
  cells = plan.make(EXPERIMENT, 'smoke', (), {}, tmp_path).cells
  cell = next(c for c in cells if c.arm == 'two tables')
  run = Subject(run_id(cell.task), cell.task,
                params=lambda: train.initial(cell.config))
  first = int(run.held_out(1).tokens_BT[0, 0])
  linked = int(run.instance['link_V'][first])
  at, to = (problems.token_names(run)[token] for token in (first, linked))
  known = chain.planted(run)
  assert at[0] == 'ABCDEFGH'[known.cluster_V[first]] != to[0]
  likely = f'{known.transition_VV[first, linked]:.0%}'
  assert likely in ('50%', '51%', '52%', '53%')
  done = [(cell, run)]
  following = problems.transitions(done)
  assert following.told.startswith(f'After {at}, {to} comes with {likely}; the '
                                   'model gives it ')
  near = problems.vectors(done)
  assert near.told.startswith(f'{to} follows {at} {likely} of the time. ')
  assert f'>{to}<' in near.svg
  assert f'>{at}<' in near.svg
  other = next(c for c in cells if c.arm == 'one table')
  assert problems.vectors([(other, run)]) is None
