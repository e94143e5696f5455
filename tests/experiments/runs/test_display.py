"""Durations in words."""

import pytest

from experiments.runs import display, progress


@pytest.mark.parametrize(('seconds', 'words'), [
  (1.2, 'about 1 second'), (98, 'about 98 seconds'), (119, 'about 2 minutes'),
  (5400, 'about 90 minutes'), (6600, 'about 2 hours'),
  (1e5, 'about 28 hours'), (1e8, 'about 1,157 days')])
def test_durations_are_no_finer_than_a_guess(seconds, words):
  assert display.duration(seconds) == words


def test_lines_say_how_long_it_takes(capsys):
  with display.Display('work') as shown:
    shown.update(0.0, '0 of 2 runs', 'fast')
    shown.update(1.0, '2 of 2 runs', 'fast')
  first, last = capsys.readouterr().out.splitlines()
  assert first.endswith('time left unknown')
  assert last.endswith('nothing left')


def test_one_run_says_its_loss_and_no_speed_before_there_is_one(capsys):
  state = {'step': 1, 'steps': 2, 'tokens_per_second': 0.0,
           'flops_per_second': 0.0, 'loss': None}
  with display.Display('lm') as shown:
    progress.RunProgress(shown, 4.0)(state)
  with display.Display('lm') as shown:
    progress.RunProgress(shown, 4.0)({
      **state, 'tokens_per_second': 20.0, 'flops_per_second': 1.0,
      'loss': 2.5})
  first, second = capsys.readouterr().out.splitlines()
  assert first.startswith('step 1/2, compiled, ')
  assert second.startswith('step 1/2, loss 2.5000, 20.0 tokens/s, MFU 25.0%, ')
