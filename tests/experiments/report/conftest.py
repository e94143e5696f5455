"""The depth claim, planned, planted and judged."""

import planting
import pytest


@pytest.fixture(scope='session')
def plan(tmp_path_factory):
  return planting.depth(tmp_path_factory.mktemp('report'))


@pytest.fixture(scope='session')
def claim(plan):
  return planting.judged(plan, planting.plant(plan))


@pytest.fixture(scope='session')
def table(plan):
  """What the depth claim reads, and what its figures show beside it."""
  rows = planting.plant(plan)
  hops = [{'hops': k} for k in (1, 2, 3, 4)]
  grid = [{'layer': layer, 'level': level}
          for layer in range(5) for level in (1, 2, 3)]
  for arm in ('looped', 'chain_of_thought'):
    rows = planting.add(rows, 'accuracy', planting.PREDICTED['accuracy'], hops,
                        stratum='composition', arm=arm)
  for stratum, metric, value, places in (
      ('composition', 'loss', lambda run, hops: 0.1 * hops, hops),
      ('composition', 'chance_accuracy', lambda run: 0.125, [{}]),
      ('hierarchy', 'loss', lambda run: 1 / run['n_layers'], [{}]),
      ('hierarchy', 'excess_bits', planting.PREDICTED['excess_bits'],
       [{'level': level} for level in (0, 3)]),
      ('text', 'loss', lambda run: 1.7, [{}]),
      *(('text', metric, lambda run, layer: 3 - layer / run['n_layers'],
         lambda run: [{'layer': n} for n in range(run['n_layers'] + 1)])
        for metric in ('lens_bits_per_byte', 'lens_kl'))):
    rows = planting.add(rows, metric, value, places, stratum=stratum)
  for metric in ('decodability', 'interchange_accuracy'):
    rows = planting.add(
      rows, metric, lambda run, layer, level:
      (0.5 if 'filtered' in run['arm'] else 1) / (1 + abs(layer - level)),
      grid, stratum='hierarchy', n_layers=3)
  rows = planting.add(
    rows, 'emergence_layer', lambda run, level: float(level),
    [{'level': level} for level in (1, 2, 3)], stratum='hierarchy', n_layers=3)
  return planting.finished(rows)
