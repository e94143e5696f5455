"""Closeness and meaning: chosen on one list, judged on the other."""

import types

import jax.numpy as jnp
import numpy as np
import planting
import polars as pl
import pytest

from experiments.claims import models
from experiments.claims.geometry import EXPERIMENT, antonyms, real_words
from experiments.instruments import word_lists, word_similarity
from experiments.instruments.word_lists import RELATEDNESS, SIMILARITY, Pair
from experiments.sweeps import plan
from experiments.sweeps.algebra import Cell
from experiments.sweeps.task import Exact

WORDS = [f'{a}{b}{c}' for a in 'abcdefghij' for b in 'klmnopqrst'
         for c in 'uvwxyz']


def lists(number=600):
  """Words on a sphere; people judge by the angle, WordSim-353 by another."""
  rng = np.random.default_rng(0)
  planted = {}
  tables = {name: rng.normal(size=(len(WORDS), 3)) for name in (
    SIMILARITY, RELATEDNESS)}
  for name, table_VD in tables.items():
    table_VD /= np.linalg.norm(table_VD, axis=1, keepdims=True)
    pairs = rng.integers(len(WORDS), size=(number, 2))
    planted[name] = [Pair(WORDS[a], WORDS[b], float(
      table_VD[a] @ table_VD[b] + 0.3 * rng.normal())) for a, b in pairs]
  return planted, tables


def streams(tables, own):
  """Three layers: noise, similarity, relatedness."""
  order = [WORDS.index(word) for word in word_lists.words(own)]
  noise = np.random.default_rng(1).normal(size=(len(WORDS), 3))
  return jnp.asarray(np.stack([noise[order], *(
    table_VD[order] for table_VD in tables.values())]), jnp.float32)


def test_layer_and_form_are_chosen_on_the_list_that_is_not_judged():
  own, tables = lists()
  streams_NVD = streams(tables, own)
  rows = real_words.compared(streams_NVD, streams_NVD[::-1], own)
  chosen = {row.where['judged']: row.value for row in rows
            if row.metric == 'chosen_layer'}
  # The best for the judged one would be the other layer.
  assert chosen == {SIMILARITY: 2, RELATEDNESS: 1}
  found = {row.where['judged']: row.value for row in rows
           if row.metric == 'chosen_correlation'}
  assert min(found.values()) > 0.7


def test_a_pair_of_the_judged_list_chooses_nothing():
  pairs = [Pair('Cat', 'dog', 1.), Pair('cat', 'mouse', 2.)]
  assert real_words.without(pairs, [Pair('dog', 'cat', 3.)]) == pairs[1:]


def judged(tmp_path, quality):
  """The verdict where vectors follow people so well, by model."""
  own, _ = lists()
  own[SIMILARITY].append(Pair('old', 'new', 0.))
  records = []
  cells = tuple(
    Cell(real_words.NAME, arm, Exact(arm)) for arm in real_words.ARMS)
  planned = plan.Plan(EXPERIMENT, 'cpu', (real_words.PART,), {}, cells,
                      tmp_path, tmp_path)
  for run in planting.blank(planned).drop('metric', 'value').to_dicts():
    rng = np.random.default_rng(3)
    good = quality[run['arm'].partition(' ')[0]]
    rows = []
    for name, pairs in own.items():
      human = np.array([pair.human for pair in pairs])
      close = good * human / human.std() + rng.normal(size=len(human))
      rows += real_words.of_pairs(pairs, close, human, {'judged': name})
      rows += [real_words.Row('chosen_correlation', 0.6, {'judged': name}),
               real_words.Row('random_correlation', 0.0, {'judged': name})]
      if name == SIMILARITY:
        rows += real_words.beside(pairs, close, human)
    rows += word_similarity.baseline(own)
    rows += [real_words.Row('word_correlation', 0.1 * layer, {
      'layer': layer, 'form': form, 'list': name, **network})
      for layer in range(3) for form in word_similarity.FORMS for name in own
      for network in ({}, {'network': 'random'})]
    records += [{**run, 'metric': row.metric, 'value': row.value, **row.where}
                for row in rows]
  table = pl.DataFrame(records, infer_schema_length=None)
  result = planting.judged(planned, table)
  return next(s for s in result.strata if s.name == real_words.NAME), table


@pytest.mark.parametrize(('smollm2', 'minilm', 'verdict', 'said'), [
  (0.7, 1.0, 'supported', 'closer they tend to lie'),
  (0.0, 0.0, 'refuted', 'says little'),
  (0.0, 1.0, 'conditional', 'says little'),
  (0.21, 1.0, 'conditional', 'it is open'),
])
def test_verdicts(tmp_path, smollm2, minilm, verdict, said):
  stratum, table = judged(tmp_path,
                          {'SmolLM2': smollm2, 'MiniLM': minilm})
  assert stratum.verdict == verdict
  words = real_words.PART.sentence(stratum)
  assert said in words
  assert 'quantised, instruct, 135 M' in words
  assert 'encoder' in words
  plots = real_words.PART.figures(
    table, types.SimpleNamespace(name=real_words.NAME))
  assert all('MiniLM' in plot.svg for plot in plots)


def test_it_is_optional_and_without_models_not_run(tmp_path, monkeypatch):
  monkeypatch.setattr(models, 'ROOT', tmp_path)
  monkeypatch.chdir(tmp_path)
  assert real_words.NAME not in EXPERIMENT.required()
  found = plan.make(EXPERIMENT, 'cpu', (real_words.NAME,), {}, tmp_path)
  assert 'make models' in found.absent[real_words.NAME]
  folder = tmp_path / 'models' / models.WORDS
  folder.mkdir(parents=True)
  for name in (models.SMOLLM2, models.MINILM):
    (tmp_path / 'models' / name).touch()
  assert 'simlex999.txt: no such list' in real_words.needs('cpu')
  for file in word_lists.FILES.values():
    (folder / file).write_text(
      ''.join(f'a\tb{i}\t{i}\n' for i in range(40)))
  assert 'is not the SimLex-999 that is judged' in real_words.needs('cpu')


def test_antonyms_are_pairs_of_different_words():
  assert len(antonyms.ANTONYMS) > 50
  assert all(len(pair) == 2 for pair in antonyms.ANTONYMS)
