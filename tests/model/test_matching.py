import dataclasses

import pytest
import tiny

import model
from model import count, matching

BASE = {'n_layers': 4, 'd_model': 64, 'n_heads': 4, 'vocab_size': 256,
        'max_length': 64}


@pytest.mark.parametrize('hold', ['parameters', 'stack', 'flops'])
@pytest.mark.parametrize('n_layers', [1, 2, 8, 16])
def test_no_other_width_comes_closer(hold, n_layers):
  base = tiny.config(**BASE)
  match = matching.width(base, hold, n_layers=n_layers)
  match.config.validate()
  assert match.config.n_layers == n_layers
  assert match.config.d_model % 8 == 0

  def gap(d_model):
    config = dataclasses.replace(match.config, d_model=d_model)
    counted = {
      'parameters': lambda: count.parameters(config).total,
      'stack': lambda: count.parameters(config).stack,
      'flops': lambda: count.train_flops(config, 64),
    }[hold]()
    return abs(counted - match.target)

  found = match.config.d_model
  assert gap(found) == abs(match.achieved - match.target)
  assert gap(found) == min(gap(d) for d in range(8, 4 * found, 8))
  assert 0.8 < match.ratio < 1.25


def test_the_base_matches_itself():
  base = tiny.config(**BASE)
  match = matching.width(base, n_layers=4)
  assert (match.config, match.ratio) == (base, 1)


def test_the_rest_of_the_config_stays():
  base = tiny.config(**BASE)
  match = matching.width(base, 'stack', n_layers=2)
  assert dataclasses.replace(match.config, n_layers=4, d_model=64) == base


def test_other_switches_can_change_too():
  base = tiny.config(**BASE)
  match = matching.width(base, mixer=model.MIXERS['gru'](),
                         position=model.NoPosition())
  assert 0.97 < match.ratio < 1.03
  assert match.config.mixer_name == 'gru'


def test_the_match_is_described_in_one_line():
  match = matching.width(tiny.config(**BASE), n_layers=2)
  line = match.describe()
  assert '\n' not in line
  assert f'd_model={match.config.d_model}' in line
  assert f'{match.ratio:.4f}' in line


def test_what_cannot_be_matched_is_an_error():
  base = tiny.config(**BASE)
  with pytest.raises(model.ConfigError, match='hold'):
    matching.width(base, 'energy')
  unknown = dataclasses.replace(base, max_length=0)
  with pytest.raises(model.ConfigError, match='max_length'):
    matching.width(unknown, 'flops')
