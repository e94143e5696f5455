"""What a model makes of single tokens, beside what is planted.

Always of the first world's model with two tables, and the first held-out
sequence: nothing is chosen by how it came out.
"""

from typing import Any

import numpy as np

from experiments.claims.geometry import chain
from experiments.instruments import geometry, prediction
from experiments.report import picture, sketch
from experiments.report.canvas import INK, gradient
from experiments.report.picture import Finished, Picture
from experiments.runs.subject import Subject

TOKENS = 3  # whose followers are shown
FOLLOWERS = 6


def transitions(done: Finished) -> Picture | None:
  """What may follow a few tokens, planted and predicted."""
  run = _first(done)
  if not run:
    return None
  known, named = chain.planted(run), token_names(run)
  tokens_BT = run.held_out(1).tokens_BT
  belief_TV = np.asarray(prediction.beliefs(
    run.config.model, run.params, tokens_BT))[0]
  tokens_T, first_T = np.unique(np.asarray(tokens_BT[0]), return_index=True)
  asked = [(int(tokens_T[i]), int(first_T[i]))
           for i in np.argsort(first_T)[:TOKENS]]
  panels, told = [], []
  for token, place in asked:
    truth_V, belief_V = known.transition_VV[token], belief_TV[place]
    likeliest = np.argsort(-truth_V, kind='stable')[:FOLLOWERS]
    panels.append((named[token], [named[i] for i in likeliest],
                   {'planted': truth_V[likeliest],
                    'the model': belief_V[likeliest]}))
    best, said = likeliest[0], int(belief_V.argmax())
    told.append(
      f'After {named[token]}, {named[best]} comes with {truth_V[best]:.0%}; '
      f'the model gives it {belief_V[best]:.0%}' + (
        '' if said == best else f' and {named[said]} more'))

  def paint(figure: Any) -> None:
    for axes, (name, followers, shares) in zip(
        figure.subplots(len(panels), 1, squeeze=False, sharey=True)[:, 0],
        panels):
      sketch.bars(axes, followers, shares)
      axes.set_title(f'after {name}')
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper left', ncols=2)

  return picture.draw(
    'What comes next?',
    'The first tokens of a held-out sequence, and what is likeliest to follow '
    'each. Letters are clusters. The tallest planted bar is the link to a far '
    'cluster. The first run with two tables of vectors.',
    f'{". ".join(told)}.', (3.9, 1.35 * len(panels) + 0.4), paint)


def vectors(done: Finished) -> Picture | None:
  """All vectors, seen along their two main directions, and one link."""
  run = _first(done)
  if not run:
    return None
  known, named = chain.planted(run), token_names(run)
  table_VD = geometry.centred(chain.tables(run, run.params)[chain.INPUT])
  left_VD, spread_D, _ = np.linalg.svd(table_VD, full_matrices=False)
  place_V2 = left_VD[:, :2] * spread_D[:2]
  seen = float((spread_D[:2]**2).sum() / (spread_D**2).sum())
  start = int(run.held_out(1).tokens_BT[0, 0])
  end = int(known.link_VV[start].argmax())
  near_V = np.delete(geometry.cosine(table_VD)[start], start)
  rank = 1 + int((near_V > geometry.cosine(table_VD)[start, end]).sum())
  colours = gradient(chain.CLUSTERS)

  def paint(figure: Any) -> None:
    axes = figure.subplots()
    for token, (x, y) in enumerate(place_V2):
      if token not in (start, end):
        axes.text(x, y, named[token][0], ha='center', va='center', fontsize=7,
                  color=colours[known.cluster_V[token]])
    axes.annotate('', place_V2[end], place_V2[start], arrowprops={
      'arrowstyle': '-|>', 'color': INK, 'shrinkA': 9, 'shrinkB': 9,
      'linewidth': 1.6})
    for token in (start, end):
      axes.text(*place_V2[token], named[token], ha='center', va='center',
                fontsize=10, fontweight='bold')
    low_2, high_2 = place_V2.min(0), place_V2.max(0)
    edge_2 = 0.06 * (high_2 - low_2)
    axes.set(xlim=(low_2[0] - edge_2[0], high_2[0] + edge_2[0]),
             ylim=(low_2[1] - edge_2[1], high_2[1] + edge_2[1]),
             xticks=[], yticks=[], xlabel='first main direction',
             ylabel='second main direction')

  return picture.draw(
    f'Where do vectors lie, and is {named[end]} near {named[start]}?',
    'Each letter is a token at the place of its vector, and names its cluster; '
    f'the arrow is a link. The two directions show {seen:.0%} of the spread, '
    'so places are rough. The first token of a held-out sequence, in the first '
    'run with two tables of vectors.',
    f'{named[end]} follows {named[start]} '
    f'{known.transition_VV[start, end]:.0%} of the time. By cosine it is '
    f'number {rank} of {len(near_V)} in nearness to it.',
    (3.9, 3.6), paint)


def _first(done: Finished) -> Subject | None:
  """The first run with two tables."""
  two, _ = chain.ARMS
  return next((run for cell, run in done if cell.arm == two), None)


def token_names(run: Subject) -> list[str]:
  """The letter of each token's cluster, and a number within it."""
  cluster_V = chain.planted(run).cluster_V
  return [f'{chr(ord("A") + cluster)}{(cluster_V[:token] == cluster).sum() + 1}'
          for token, cluster in enumerate(cluster_V)]
