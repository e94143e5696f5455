"""Text: its families cost what they say, and its rule reads what it should."""

import collections

import numpy as np
import planting
import pytest

from data.sources.text import TextConfig
from experiments.claims.depth import EXPERIMENT, text
from experiments.commands import main
from experiments.machine import usage
from experiments.runs.subject import Subject
from experiments.sweeps import plan
from experiments.sweeps.task import Train
from model import count
from train import programs


def arms(preset):
  """The config of each arm, one for each n."""
  found = collections.defaultdict(dict)
  for cell in text.sweep(preset, {}):
    found[cell.arm][cell.config.model.n_layers] = programs.complete(cell.config)
  return found


@pytest.mark.parametrize(('preset', 'arm', 'hold', 'share'), [
  ('cpu', 'equal cost', 'stack', 0.015), ('cpu', 'equal cost', 'flops', 0.01),
  ('cpu-long', 'equal parameters', 'stack', 0.06),
  ('cpu-long', 'equal FLOPs', 'flops', 0.06)])
def test_families_cost_the_same(preset, arm, hold, share):
  costs = [count.parameters(c.model).stack if hold == 'stack'
           else count.train_flops(c.model, c.data.source.length)
           for c in arms(preset)[arm].values()]
  assert len(costs) == len(text.DEPTHS[preset])
  assert costs == pytest.approx(
    [costs[-1]] * len(costs), rel=share)  # that of the deepest


@pytest.mark.parametrize('preset', ['cpu', 'cpu-long', 'accelerator'])
def test_every_arm_has_eight_fresh_seeds(preset):
  seeds = collections.defaultdict(set)
  for cell in text.sweep(preset, {}):
    seeds[cell.arm, cell.config.model.n_layers].add(cell.config.train.seed)
  assert set(map(frozenset, seeds.values())) == {frozenset(range(8, 16))}


def test_scaled_norms_differ_in_nothing_else():
  found = arms('cpu-long')
  for n, config in found['scaled norms'].items():
    plain = found['fixed width'][n].model
    assert config.model.norm_placement == ('pre' if n == 1 else 'scaled')
    assert config.model.n_layers == plain.n_layers
    assert config.model.d_model == plain.d_model


@pytest.mark.parametrize(('fixed', 'equal', 'verdict'), [
  (0.3, 0.2, 'supported'), (0.3, 0.0, 'conditional'),
  (0.3, -0.2, 'conditional'), (0.3, 0.03, 'inconclusive'),
  (0.0, 0.0, 'refuted'), (-0.2, -0.2, 'refuted')])
def test_parameters_alone_make_it_conditional(fixed, equal, verdict, tmp_path):
  of = planting.depth(tmp_path, strata=('text',))

  def bits_per_byte(run):
    gain = {'fixed width': fixed, 'equal cost': equal}[run['arm']]
    return 2.5 - (gain + 0.004 * (run['seed'] % 5 - 2)) * (run['n_layers'] > 1)

  rows = planting.plant(of, {'bits_per_byte': bits_per_byte})
  assert planting.judged(of, rows).strata[-1].verdict == verdict


@pytest.mark.parametrize(('metric', 'value'), [
  ('bigram_bits_per_byte', lambda run: 2.45),
  ('stack_parameters', lambda run: 28_000.0 * (1 + 0.02 * run['n_layers']))])
def test_controls_can_fail(metric, value, tmp_path):
  of = planting.depth(tmp_path, strata=('text',))
  rows = planting.plant(of, {metric: value})
  assert planting.judged(of, rows).strata[-1].verdict == 'invalid'


def test_cpu_long_judges_six_effects_and_normalisation_is_one():
  stratum = text.declare('cpu-long')
  assert [e.name for e in stratum.effects] == [
    'gain: fixed width', 'gain: equal parameters', 'gain: equal FLOPs',
    'gain: scaled norms', 'trend', 'gain of the last layers']
  assert ('gain: scaled norms', 'supported') in stratum.rule.supported


def test_frequencies_of_pairs_beat_those_of_tokens():
  config = programs.complete(text.sweep('smoke', {})[0].config)
  unigram, bigram = (row.value for row in text.frequency_rows(
    Subject('run', Train(config))))
  train = TextConfig().open().instance(0)['train']
  share_V = np.bincount(train) / len(train)
  entropy = -(share_V * np.log2(np.where(share_V, share_V, 1))).sum()
  assert unigram == pytest.approx(entropy, rel=0.05)
  assert 0.6 * unigram < bigram < 0.85 * unigram


def test_the_accelerator_preset_asks_for_a_corpus(tmp_path, capsys):
  flags = ['depth', '--preset=accelerator', '--strata=text',
           f'--runs={tmp_path}']
  with pytest.raises(SystemExit) as stopped:
    main.main(['run', *flags])
  said = capsys.readouterr().err
  assert stopped.value.code == usage.USAGE
  assert '--config.data.text_path=' in said
  assert '817 times' in said
  assert said.count('\n') == 1
  assert not list(tmp_path.iterdir())
  with pytest.raises(SystemExit) as stopped:
    main.main(['plan', *flags, '--device=h100'])
  assert stopped.value.code == 0
  assert 'asks for --config.data.text_path' in capsys.readouterr().out
  corpus = tmp_path / 'corpus.txt'
  corpus.write_text('\n\n'.join(f'Document {i}. ' + ' '.join(
    str((i * j) % 1009) for j in range(100)) for i in range(200)))
  given = plan.make(EXPERIMENT, 'accelerator', ('text',),
                    {'data.text_path': str(corpus)}, tmp_path)
  assert not given.unanswered
