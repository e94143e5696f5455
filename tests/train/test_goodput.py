import json

import pytest

from train.goodput import PARTS, Goodput


def spend(goodput, **seconds):
  for part, spent in seconds.items():
    goodput.seconds[part] += spent


def test_time_adds_up_over_restarts(tmp_path):
  path = tmp_path / 'goodput.json'
  first = Goodput(path)
  spend(first, start=2, compile=3, step=5)
  first.write(at_once=True)
  second = Goodput(path)
  spend(second, start=2, step=8)
  second.write(at_once=True)
  kept = json.loads(path.read_text())
  assert kept['starts'] == 2
  assert kept['seconds'] == dict.fromkeys(PARTS, 0) | {
    'start': 4, 'compile': 3, 'step': 13}
  assert kept['goodput'] == pytest.approx(13 / 20)


def test_steps_that_are_taken_again_are_lost(tmp_path):
  path = tmp_path / 'goodput.json'
  first = Goodput(path)
  spend(first, step=9, data_wait=1)
  first.write(at_once=True)
  second = Goodput(path)
  second.lose([{'split': 'train', 'seconds': 3.0, 'data_wait': 1.0},
               {'split': 'validation', 'loss': [[1.0]]}])
  total = second.total()
  assert (total['step'], total['data_wait'], total['lost']) == (7, 0, 3)
  assert sum(total.values()) == sum(first.total().values())


def test_a_lap_is_the_training_since_the_last():
  goodput = Goodput()
  spend(goodput, step=2, data_wait=1, evaluate=50)
  assert goodput.lap() == 3
  spend(goodput, step=4, checkpoint=7)
  assert goodput.lap() == 4


def test_a_damaged_file_is_begun_again(tmp_path):
  path = tmp_path / 'goodput.json'
  path.write_text('{"starts": 1, "sec')
  assert Goodput(path).restarts == 0
