"""Distance: may far vectors be related? (card G1, statement A4)

Each token is followed, half of the time, by one token of a far cluster. If
relation were nearness, linked pairs would lie nearer than other pairs of far
clusters. The area under the receiver's operating characteristic (AUC) is how
often they do. Chance is not 0.5: a linked pair has a token that is linked to,
other pairs need not, and such tokens lie otherwise. So the mean AUC of 200
other ways to link the same tokens, each to a far cluster and as many to each,
is subtracted (see `relinking.py`).

Prediction. Among tokens of far clusters, distance hardly tells which are linked
(within 0.1 of chance), while the network's predictions tell nearly all (AUC
0.95 or more), with two tables and with one. Refuted if with two tables distance
is shown to tell them (0.1 or more from chance); conditional if with one table
alone, where the vector that is read is also the one that is scored. There
pilots found 0.09 above chance, at the margin, and 0.07 after twice the steps:
what distance tells fades with training, and eight worlds may leave it open.

Distance is taken by the cosine of centred vectors: of what was tried it is the
one that tells most of links, so it is the hardest test of the claim. That
tokens of a cluster lie nearer than others by it, and those of far clusters
farther, are controls; with one table the latter is so in some 7 of 10
comparisons only. Of distance at large the stratum says nothing: over all pairs
with two tables, linked ones lie farther apart than others (AUC 0.27 in pilots),
as links were planted between far clusters. A chain needs no attention, and what
attention makes of linked pairs is shown, not judged.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.geometry import (
  chain,
  figures,
  problems,
  relinking,
  words,
)
from experiments.claims.geometry.chain import INPUT, Planted
from experiments.instruments import geometry
from experiments.judge import samples
from experiments.judge.declaration import (
  Control,
  Effect,
  Premise,
  Rule,
  Stratum,
)
from experiments.runs.subject import Row, Subject
from experiments.sweeps.experiment import Part

MARGIN = 0.1
SMALLEST = 0.95
PREDICTION = 'prediction'
NEARNESS = 'centred cosine'


def measure(run: Subject) -> list[Row]:
  """What tells links: distances, attention's scores, predictions."""
  known = chain.planted(run)
  other_RVV = relinking.linked(relinking.relinked(
    run.instance['link_V'], known.far_VV,
    np.random.default_rng(run.config.data.seed)))
  rows = chain.of_tables(functools.partial(
    table_rows, other_RVV=other_RVV), run)
  for network, params in chain.networks(run):
    found = chain.tables(run, params)
    directed = {
      PREDICTION: chain.means(run, params).log_probability_VV,
      'input with output': found[INPUT] @ found.get(
        chain.OUTPUT, found[INPUT]).T,
      **attention_scores(run, params)}
    # A token that is linked to another is before it, in place and on axis 0.
    for name, score_VV in directed.items():
      rows += link_rows(score_VV, known.link_VV, other_RVV, known.far_VV,
                        {'network': network, 'table': name})
  return rows


def table_rows(run: Subject, known: Planted, table_VD: np.ndarray,
               other_RVV: np.ndarray) -> list[Row]:
  """What nearness tells of links, of clusters, and of clusters that are far."""
  del run
  pairs_VV = np.triu(np.ones_like(known.far_VV), k=1)
  linked_VV = known.link_VV | known.link_VV.T
  other_RVV = other_RVV | other_RVV.swapaxes(1, 2)
  same_VV = known.cluster_V[:, None] == known.cluster_V
  nearness = {
    'cosine': geometry.cosine(table_VD),
    NEARNESS: geometry.cosine(geometry.centred(table_VD)),
    'euclidean': -geometry.distance(table_VD)}
  rows = []
  for name, near_VV in nearness.items():
    where = {'distance': name}
    rows += link_rows(near_VV, linked_VV, other_RVV, pairs_VV & known.far_VV,
                      {**where, 'pairs': 'far'})
    rows.append(Row('link_area', geometry.area(
      near_VV[pairs_VV], linked_VV[pairs_VV]), {**where, 'pairs': 'all'}))
    rows += [Row(metric, geometry.area(near_VV[pairs_VV], nearer_VV[pairs_VV]),
                 where)
             for metric, nearer_VV in (('cluster_area', same_VV),
                                       ('far_area', ~known.far_VV))]
  return rows


def link_rows(score_VV: np.ndarray, linked_VV: np.ndarray,
              other_RVV: np.ndarray, compared_VV: np.ndarray,
              where: Mapping[str, str]) -> list[Row]:
  """AUC for links, the mean of that for other links, and the difference."""
  own, *others = geometry.areas(score_VV[compared_VV], np.concatenate(
    [linked_VV[None], other_RVV])[:, compared_VV])
  chance = float(np.mean(others))
  return [Row('link_area', float(own), where),
          Row('relinked_area', chance, where),
          Row('link_advantage', float(own) - chance, where)]


def attention_scores(run: Subject, params: dict) -> dict[str, np.ndarray]:
  """What each head of the first layer makes of pairs of input vectors.

  E W_Q W_K' E', with the layer's norm before and without position: how much a
  token (second axis) would attend to another before it (first axis).
  """
  layer = jax.tree.map(lambda x: x[0], params['stack'])
  norm, mixer = layer['mixer_norm'], layer['mixer']
  table_VD = chain.tables(run, params)[INPUT]
  unit_VD = table_VD - table_VD.mean(axis=1, keepdims=True)
  unit_VD /= unit_VD.std(axis=1, keepdims=True)
  read_VD = unit_VD * np.asarray(norm['scale_D']) + np.asarray(norm['b_D'])
  query_HVK = jnp.einsum('VD,DHK->HVK', read_VD, mixer['w_q_DHK'])
  key_GVK = jnp.einsum('VD,DGK->GVK', read_VD, mixer['w_k_DGK'])
  return {f'attention, head {head}': np.asarray(key_VK @ query_VK.T)
          for head, (query_VK, key_VK) in enumerate(
            zip(query_HVK, key_GVK), start=1)}


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset

  def of_distance(arm: str) -> Effect:
    return Effect(
      name=f'distances of links with {arm}',
      statement=f'With {arm}, linked tokens of far clusters lie neither nearer '
      'nor farther than if the same tokens were linked otherwise, by '
      f'{MARGIN} in AUC.', unit='AUC less that of other links',
      measure=functools.partial(
        samples.values, metric='link_advantage', where=chain.trained(
          arm, INPUT, distance=NEARNESS, pairs='far')),
      band=(-MARGIN, MARGIN), positive=tells('clusters', arm), sigma=0.02)

  def of_prediction(arm: str) -> Effect:
    return Effect(
      name=f'prediction of links with {arm}',
      statement=f'With {arm}, the network predicts the links (AUC {SMALLEST} '
      'or more).', unit='AUC', measure=functools.partial(
        samples.values, metric='link_area',
        where=chain.trained(arm, PREDICTION)),
      band=(SMALLEST, 1.01), positive=chain.learned(arm), sigma=0.01)

  def tells(what: str, arm: str) -> Control:
    metric, least, words = {
      'clusters': ('cluster_area', 0.75, 'tokens of a cluster lie nearer than '
                   'others, so distance is not blind'),
      'far clusters': ('far_area', 0.6, 'tokens of far clusters lie farther '
                       'than others')}[what]
    return Control(
      f'distance tells {what} with {arm}', f'With {arm}, {words}.',
      functools.partial(samples.average, metric=metric, where=chain.trained(
        arm, INPUT, distance=NEARNESS)), at_least=least)

  two, one = map(of_distance, chain.ARMS)
  predicted = tuple(map(of_prediction, chain.ARMS))
  known: tuple[Premise, ...] = tuple(
    (effect.name, 'supported') for effect in predicted)
  return Stratum(
    name='distance', title='Among tokens of far clusters, distance hardly '
    'tells which are linked',
    prediction='Distance tells next to nothing of links that the network '
    'predicts.',
    refutation='With two tables, distance is shown to tell links: by '
    f'{MARGIN} in AUC or more.',
    effects=(two, one, *predicted),
    rule=Rule(
      supported=((two.name, 'supported'), (one.name, 'supported'), *known),
      refuted=((two.name, 'opposite'),),
      conditional=((two.name, 'supported'), (one.name, 'opposite'), *known)),
    controls=tuple(tells('far clusters', arm) for arm in chain.ARMS))


PART = Part('distance', functools.partial(chain.sweep, 'distance'), measure,
            declare, figures.distance,
            sentence=words.distance, problem=problems.vectors)
