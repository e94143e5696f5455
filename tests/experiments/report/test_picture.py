"""Pictures of sample problems: drawn once, kept, and right."""

import dataclasses

import jax
import numpy as np
import planting
import pytest

import train
from experiments.claims.depth import EXPERIMENT, problems
from experiments.report import picture
from experiments.runs.subject import Subject
from experiments.sweeps import plan as plans
from experiments.sweeps.identity import run_id


def draw(done):
  assert done
  return picture.draw('Which?', 'Blue: that.', 'It is B.', (2, 1),
                      lambda figure: figure.subplots().plot([0, 1], [0, 1]))


def nothing(done):
  assert done


def with_problem(folder, problem):
  part = dataclasses.replace(EXPERIMENT.parts[2], problem=problem)
  experiment = dataclasses.replace(EXPERIMENT, parts=(part,))
  return plans.make(experiment, 'smoke', (), {}, folder)


@pytest.mark.parametrize('problem', [draw, nothing])
def test_a_problem_is_drawn_of_finished_runs_once_and_kept(tmp_path, problem):
  of = with_problem(tmp_path, problem)
  part, = of.parts
  assert picture.of_part(of, part) is None  # nothing is finished
  planting.publish(of, lambda cell: [])
  first = picture.of_part(of, part)
  kept = of.output / picture.FOLDER / 'text.json'
  written = kept.stat().st_mtime_ns
  assert picture.of_part(of, part) == first
  assert kept.stat().st_mtime_ns == written
  assert (first is None) == (problem is nothing)


def test_another_way_of_drawing_draws_anew(tmp_path):
  of = with_problem(tmp_path, nothing)
  planting.publish(of, lambda cell: [])
  assert picture.of_part(of, of.parts[0]) is None
  changed = with_problem(tmp_path, draw)
  found = picture.of_part(changed, changed.parts[0])
  assert found.label == 'Which? It is B.'
  assert found.inline('mine').startswith('<svg role="img" aria-label="Which?')


def untrained(plan, stratum, count):
  """Some cells of a stratum with networks as they begin."""
  cells = [c for c in plan.cells if c.stratum == stratum][:count]
  return [(cell, Subject(run_id(cell.task), cell.task, params=lambda c=cell: (
    train.initial(c.config)))) for cell in cells]


@pytest.fixture(scope='module')
def smoke(tmp_path_factory):
  return planting.depth(tmp_path_factory.mktemp('smoke'), 'smoke')


def test_the_ring_shows_the_true_answer(smoke):
  done = untrained(smoke, 'composition', 1)
  found = problems.composition(done)
  run = done[0][1]
  batch = jax.tree.map(np.asarray, run.held_out(problems.EXAMPLES))
  last = len(run.source.hops) - 1
  row = int(np.flatnonzero(batch.group_B == last)[0])
  answer = batch.targets_BT[row][batch.weights_BT[row] > 0][0]
  letter = chr(ord('A') + answer - run.source.first_symbol)
  assert f'The answer is {letter}.' in found.told
  assert f'{run.source.hops[last]} links' in found.title
  assert 'layer' in found.told


def test_the_tree_shows_what_exact_inference_says(smoke):
  done = untrained(smoke, 'hierarchy', 1)
  found = problems.hierarchy(done)
  run = done[0][1]
  batch = run.held_out(problems.EXAMPLES)
  belief = run.source.posteriors(run.instance, batch.tokens_BT[:1])
  root_V = np.asarray(belief[run.source.levels])[0, 0]
  assert (f'the root: exact inference says {"abcd"[root_V.argmax()]} '
          f'({root_V.max():.0%})') in found.told
  assert found.svg.count('>?<') == 2


def test_the_line_of_text_is_that_of_the_corpus(smoke):
  done = untrained(smoke, 'text', 1)
  found = problems.text(done)
  run = done[0][1]
  stream = run.source.instance(0)['validation']
  line = b''.join(run.source.tokenizer.pieces_V[t] for t in stream[1:200])
  shown = found.told[1:].split('”')[0].replace('·', ' ').replace('⏎', '\n')
  assert len(shown) == problems.LETTERS
  assert shown.encode() in line.replace(b'\xc2', b'?')
