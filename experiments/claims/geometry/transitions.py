"""Transitions: does training store transition probabilities? (card G1, A3)

A sanity row: a network that predicts well must have them somewhere. What is
asked is how exactly. R^2 is that of the network's log-probability as it stands
(nothing is fitted) against the log of the planted one.

Prediction. R^2 is 0.9 or more, over transitions as often as they occur, and
over all pairs of tokens, each counted once. Most pairs are rare: a quarter of
them occur six times or less in all of training. Refuted if R^2 is shown to be
below 0.9 even over what occurs; conditional if only over all pairs. The width
limits it, too: after 1000 steps pilots found 0.85 over all pairs with vectors
twice as wide, where these had 0.70.
"""

import functools

import numpy as np
from scipy import stats

from experiments.claims.geometry import chain, figures, problems, words
from experiments.instruments import geometry
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.experiment import Part

SMALLEST = 0.9
PAIRS = ('as they occur', 'all alike')


def measure(run: Subject) -> list[Row]:
  """How well the planted log-probabilities are told, and by frequency alone."""
  known = chain.planted(run)
  truth_VV = np.log(known.transition_VV)
  occur_VV = known.frequency_V[:, None] * known.transition_VV
  guesses = {'frequency': np.broadcast_to(
    np.log(known.frequency_V), truth_VV.shape)}
  rows = [chain.excess(run), *bias_rows(run)]
  for network, params in chain.networks(run):
    guesses[network] = chain.means(run, params).log_probability_VV
  for name, guess_VV in guesses.items():
    for pairs, weight_VV in zip(PAIRS, (occur_VV, np.ones_like(occur_VV))):
      rows.append(Row('determination', geometry.determination(
        truth_VV, guess_VV, weight_VV), {'network': name, 'pairs': pairs}))
    rows.append(Row('log_probability_correlation', float(stats.spearmanr(
      truth_VV.ravel(), guess_VV.ravel()).statistic), {'network': name}))
  rows.append(Row('determination', geometry.determination(
    truth_VV, guesses['trained'], occur_VV > np.median(occur_VV)),
    {'network': 'trained', 'pairs': 'the likelier half'}))
  return rows


def bias_rows(run: Subject) -> list[Row]:
  """How the logits' constant part ranks tokens, against their frequency.

  The model has no bias of the logits; the final norm has, and what it adds to
  each logit is the same in every context. Before training it is 0.
  """
  if run.config.model.norm != 'layer':
    return []
  found = chain.tables(run, run.params)
  scoring_VD = found.get(chain.OUTPUT, found[chain.INPUT])
  bias_V = scoring_VD @ np.asarray(run.params['norm']['b_D'], float)
  return [Row('bias_correlation', float(stats.spearmanr(
    bias_V, chain.planted(run).frequency_V).statistic))]


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  two, _ = chain.ARMS

  def told(name: str, pairs: str, words: str, sigma: float) -> Effect:
    return Effect(
      name=name, statement='The network has the log-probabilities of '
      f'transitions{words} (R² of {SMALLEST} or more).', unit='R²',
      measure=functools.partial(
        samples.values, metric='determination', where={
          'arm': two, 'network': 'trained', 'pairs': pairs}),
      band=(SMALLEST, 1.01), positive=chain.learned(two), sigma=sigma)

  occurring = told('transitions that occur', PAIRS[0],
                   ', weighted as they occur', 0.002)
  every = told('all transitions', PAIRS[1], ' between all pairs of tokens',
               0.04)
  return Stratum(
    name='transitions', title='Weights hold transition probabilities '
    '(a sanity check)',
    prediction=f'R² of the log-probabilities is at least {SMALLEST}, over what '
    'occurs and over all pairs.',
    refutation=f'It is shown to be below {SMALLEST} over what occurs.',
    effects=(occurring, every),
    rule=Rule(
      supported=((occurring.name, 'supported'), (every.name, 'supported')),
      refuted=((occurring.name, 'opposite'),),
      conditional=((occurring.name, 'supported'), (every.name, 'opposite'))),
    controls=(Control(
      'frequency is not enough', 'Frequencies alone do not tell what occurs.',
      functools.partial(samples.average, metric='determination', where={
        'arm': two, 'network': 'frequency', 'pairs': PAIRS[0]}),
      at_most=0.5),))


PART = Part('transitions', functools.partial(chain.sweep, 'transitions'),
            measure, declare, figures.transitions,
            sentence=words.transitions, problem=problems.transitions)
