"""The claim on attention: its rows, its rule, and the model that may be absent.
"""

import polars as pl
import pytest

from experiments.claims import models
from experiments.claims.attention import importance
from experiments.claims.attention.importance import CHAPTERS, JUDGED
from experiments.instruments.importance import WEIGHINGS
from experiments.judge import seal, verdict
from experiments.judge.declaration import Claim
from experiments.sweeps.task import Pretrained

CLAIM = Claim('attention', 'title', 'claim', 'reading',
              (importance.declare('cpu'),))


def table(last, every, value_weighted=0.2, planted=0.95, random=0.0,
          repeated=0.7):
  """Results in which chapters agree so well, give or take a little."""
  base = {'stratum': 'importance', 'arm': 'model', 'run': 'r', 'seed': 0,
          'instance': 0, 'status': 'done', 'step': None, 'layer': None}
  taus = {('raw', 'last'): last, ('raw', 'all'): every,
          ('value-weighted', 'all'): value_weighted}
  rows = []
  for name in WEIGHINGS:
    where = {'weighing': name[0], 'layers': name[1]}
    for network, tau in (('constructed', planted), ('random', random)):
      rows.append({'metric': 'agreement', 'value': tau, 'network': network,
                   **where})
    for text in range(CHAPTERS):
      value = taus.get(name, 0.2) + 0.01 * (text % 5 - 2)
      rows += [{'metric': metric, 'value': number, 'text': text,
                'excluded': JUDGED, **where}
               for metric, number in (('agreement', value),
                                      ('retained_mass', 0.4))]
  rows += [{'metric': 'repeated_agreement', 'value': repeated, 'text': text,
            'excluded': JUDGED} for text in range(CHAPTERS)]
  return pl.DataFrame([{**base, **row} for row in rows],
                      infer_schema_length=None)


def judged(**taus):
  sealed = seal.Sealed('0' * 12)
  return verdict.judge(CLAIM, table(**taus), {'importance': 1}, 'c', False,
                       sealed).strata[0]


@pytest.mark.parametrize(('expected', 'taus'), [
  ('supported', {'last': 0.6, 'every': 0.6}),
  ('refuted', {'last': 0.2, 'every': 0.1}),
  ('conditional', {'last': 0.2, 'every': 0.6}),
  ('conditional', {'last': 0.2, 'every': 0.4, 'value_weighted': 0.6}),
  ('inconclusive', {'last': 0.2, 'every': 0.4}),
  ('invalid', {'last': 0.6, 'every': 0.6, 'planted': 0.7}),
  ('invalid', {'last': 0.6, 'every': 0.6, 'random': -0.3}),
  ('invalid', {'last': 0.2, 'every': 0.2, 'repeated': 0.3})])
def test_the_verdict_follows_agreement_and_controls(expected, taus):
  found = judged(**taus)
  assert found.verdict == expected
  said = importance.PART.sentence(found)
  assert ('135 M' in said) == (expected != 'invalid')


def test_an_absent_model_is_asked_for(monkeypatch):
  monkeypatch.setattr(models, 'find', lambda name: None)
  assert 'make models' in importance.PART.needs('cpu')
  assert not importance.PART.needs('smoke')
  with pytest.raises(FileNotFoundError):
    importance.sweep('cpu', {})
  monkeypatch.undo()
  if models.find(models.SMOLLM2):
    task = importance.sweep('cpu', {})[0].task
    assert isinstance(task, Pretrained)


def test_chapters_of_pilots_are_others():
  judged, pilots = importance.chapters(), importance.chapters(1)
  assert len(judged) == CHAPTERS
  assert not set(judged) & set(pilots)


def test_what_is_left_out():
  class Words:
    def token(self, token):
      return ['the', ' ,', '\n', ' 7'][token]

  kept = importance.excluded([0, 1, 0, 2, 3], Words())
  assert {name: list(map(int, places.nonzero()[0]))
          for name, places in kept.items()} == {
    'nothing': [0, 1, 2, 3, 4], 'first': [1, 2, 3, 4], JUDGED: [2, 4],
    f'{JUDGED}, own': [2]}
