"""A planted results table and its verdict, as the depth claim would give."""

import math
import types

import numpy as np
import polars as pl

from experiments.judge.verdict import (
  ClaimResult,
  ControlResult,
  EffectResult,
  StratumResult,
)


def _arms():
  """(stratum, arm, n, width) of every planned cell."""
  for n in (1, 2, 3):
    yield 'composition', 'plain', n, 32
  for n in (2, 3):
    yield 'composition', 'looped', n, 32
    yield 'composition', 'wide', 1, 16 * n + 14
  for n in (1, 2):
    yield 'composition', 'chain_of_thought', n, 32
  for n in (1, 2, 3, 4):
    yield 'hierarchy', 'l = 3', n, 32
  for n in (1, 2, 4, 8, 12):
    yield 'text', 'fixed width', n, 64
    yield 'text', 'matched parameters', n, 8 * round(64 / 8 / n ** 0.5) + 16


def _composition(rng, arm, n):
  for k in (1, 2, 3, 4):
    reach = 4 if arm == 'chain_of_thought' and n > 1 else 2 ** n - 1
    solved = k <= reach and rng.random() < 0.9
    accuracy = (0.985 if solved else 0.3) + rng.normal(0, 0.012)
    yield 'accuracy', accuracy, {'hops': k}
    yield 'loss', -math.log(accuracy), {'hops': k}
  yield 'chance_accuracy', 0.125, {}


def _hierarchy(rng, n):
  yield 'loss', 1.05 + 0.3 / n + rng.normal(0, 0.01), {}
  for level in (None, 0, 1, 2, 3):
    scale = 1 if level is None else 0.4 + 0.3 * level
    value = scale * 0.32 * math.exp(-0.9 * n) + abs(rng.normal(0, 0.004))
    yield 'excess_bits', value, {'level': level}
  if n < 3:
    return
  for level in (1, 2, 3):
    yield 'emergence_layer', min(n, level + rng.integers(2)), {'level': level}
  for layer in range(n + 1):
    for level in (1, 2, 3):
      known = 1 / (1 + math.exp(-2.8 * (layer - level + 0.3)))
      where = {'layer': layer, 'level': level}
      yield 'decodability', known * 0.98 + rng.normal(0, 0.015), where
      used = known * math.exp(-0.5 * max(0, layer - level))
      yield 'interchange_accuracy', used, where


def _text(rng, arm, n):
  drop = 0.42 if arm == 'fixed width' else 0.2
  bits = 2.35 - drop * (1 - n ** -0.8) + rng.normal(0, 0.012)
  yield 'bits_per_byte', bits, {}
  yield 'loss', bits * math.log(2), {}
  if arm == 'fixed width':
    for layer in range(n + 1):
      above = 3.1 * (1 - layer / n) ** 1.5
      yield 'lens_bits_per_byte', bits + above, {'layer': layer}
      yield 'lens_kl', above, {'layer': layer}


def planted_table(seeds=5, missing=0, diverged=0, arm_of=lambda arm: arm):
  rng = np.random.default_rng(0)
  rows = []
  for stratum, arm, n, width in _arms():
    for unit in range(seeds):
      planted = {'composition': lambda a=arm, n=n: _composition(rng, a, n),
                 'hierarchy': lambda n=n: _hierarchy(rng, n),
                 'text': lambda a=arm, n=n: _text(rng, a, n)}[stratum]()
      own = stratum == 'hierarchy'
      parameters = 12 * n * width ** 2
      run = {
        'stratum': stratum, 'arm': arm_of(arm),
        'run': f'{len(rows) * 7919:012x}',
        'n_layers': n, 'd_model': width, 'parameters': parameters,
        'train_flops': 6.0 * parameters * 1.9e6, 'seed': 0 if own else unit,
        'instance': unit if own else 0, 'learning_rate': 2e-3,
        'status': 'done'}
      none = dict.fromkeys(('metric', 'layer', 'level', 'hops', 'step',
                            'value'))
      if missing > 0 and stratum == 'text':
        missing -= 1
        rows.append(run | none | {'status': 'missing'})
      elif diverged > 0 and stratum == 'text':
        diverged -= 1
        rows.append(run | none | {'status': 'diverged'})
      else:
        rows += [run | none | {'metric': metric, 'value': value} | where
                 for metric, value, where in planted]
  types_of = {'layer': pl.Int64, 'level': pl.Int64, 'hops': pl.Int64,
              'step': pl.Int64, 'metric': pl.String, 'value': pl.Float64}
  return pl.DataFrame(rows, schema_overrides=types_of,
                      infer_schema_length=None)


def planted_effect(name, statement, unit, estimate, half, smallest, state,
                   seeds=5, instances=1):
  units = np.linspace(estimate - half, estimate + half, seeds * instances)
  return EffectResult(
    name=name, statement=statement, unit=unit, estimate=estimate,
    low=estimate - half, high=estimate + half, smallest=smallest,
    test='BCa bootstrap over replicates, exact sign-flip test',
    p_value=0.03125, seeds=seeds, instances=instances,
    values=tuple(float(v) for v in units), state=state, clears=smallest,
    p_holm=0.0625)


def planted_claim(verdicts=('supported', 'conditional', 'refuted'),
                  verdict='conditional', evidence='verdict', missing=0):
  strata = (_composition_result(verdicts[0]), _hierarchy_result(verdicts[1]),
            _text_result(verdicts[2], missing))
  return ClaimResult(
    id='depth', title='Layering n times gives depth of abstraction',
    claim='Repeating the layers n times gives better depth of abstraction.',
    reading='adding layers, and not merely the parameters that come with them, '
    'lets a model compute what a shallower one cannot.',
    verdict=verdict, reason='Supported on composition; true only under '
    'conditions on hierarchy; refuted on text: it buys nothing.',
    strata=strata, declaration='9f' * 32, evidence=evidence,
    commit='0123456789abcdef')


def _composition_result(verdict):
  share = 'share of seeds'
  return StratumResult(
    name='composition', title='Composition: following k links',
    prediction='k links need n = ceil(log2(k + 1)) layers, whatever the width.',
    refutation='One layer fewer, or one wide layer, learns as many links.',
    verdict=verdict, reason='Third layer is 0.93 share of seeds [0.87, 0.99], '
    'reaching the smallest effect of interest 0.5.',
    effects=(
      planted_effect('third layer', 'Four links are learned with 3 layers, not '
                     'with 2.', share, 0.93, 0.06, 0.5, 'supported'),
      planted_effect('second layer', 'Two links are learned with 2 layers, not '
                     'with 1.', share, 0.55, 0.2, 0.5, 'inconclusive'),
      planted_effect('depth over width', 'Four links are learned by 3 layers, '
                     'not by one as large.', share, 0.68, 0.1, 0.5,
                     'supported')),
    controls=(
      ControlResult('easiest cell', 'One link is learned by 3 layers.', 0.984,
                    'at least 0.95', True),
      ControlResult('shortcut', 'Going one link back answers by chance.', 0.12,
                    'at most 0.2', True)),
    cells=45, missing=0, tier='E1')


def _hierarchy_result(verdict):
  return StratumResult(
    name='hierarchy', title='Hierarchy: levels of a tree grammar',
    prediction='Each level emerges at least half a layer after the one below, '
    'and the excess loss falls with n up to n = 3.',
    refutation='n = 1 is within 0.02 bit of n = 3.', verdict=verdict,
    reason='Levels emerge in order, but the loss stops falling at n = 2.',
    effects=(
      planted_effect('slope', 'Each level emerges later than the one below.',
                     'layers per level', 0.94, 0.12, 0.5, 'supported', 1, 5),
      planted_effect('drop', 'Excess loss falls from n = 1 to n = 3.', 'bits',
                     0.108, 0.011, 0.05, 'supported', 1, 5)),
    controls=(
      ControlResult('random network', 'Its D is near 0.', 0.02, 'at most 0.1',
                    True),
      ControlResult('interchange', 'Swapping unrelated levels changes little.',
                    0.31 if verdict == 'invalid' else 0.12, 'at most 0.2',
                    verdict != 'invalid')),
    cells=20, missing=0, tier='E1')


def _text_result(verdict, missing):
  gain = planted_effect(
    'gain at equal parameters', '12 layers need fewer bits per byte than 1, '
    'with as many parameters.', 'bits per byte', 0.022, 0.006, 0.06, 'refuted')
  return StratumResult(
    name='text', title='Text: predicting prose',
    prediction='Bits per byte fall as n grows, at equal parameters.',
    refutation='12 layers are within 0.06 bits per byte of 1.',
    verdict=verdict,
    reason=f'{missing} of 50 runs are missing.' if missing else
    'Gain at equal parameters is shown to be smaller than 0.06 either way.',
    effects=() if missing else (gain,), controls=(), cells=50,
    missing=missing, tier='E1')


EXPERIMENT = types.SimpleNamespace(name='depth', preset='cpu')
MANIFEST = {
  'command': 'fathom run depth', 'commit': '0123456789abcdef',
  'packages': {'jax': '0.10.2', 'flax': '0.12.8'},
  'device': {'kind': 'cpu', 'count': 1},
  'data': {'embedded prose': 'sha256:77aa'},
  'config': {'train': {'steps': 2000, 'betas': [0.9, 0.95]}, 'note': None}}
