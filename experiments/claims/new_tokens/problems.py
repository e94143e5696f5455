"""What follows one new token and one old one, and what each model says.

The first held-out text of each kind, and the first run of each method where
new tokens are unlike the old ones: nothing is chosen by how it came out.
"""

from typing import Any

import numpy as np

import data
from data.sources.mixture import MixtureConfig
from data.sources.new_tokens import NewTokensConfig
from experiments.claims.new_tokens.methods import (
  ENDS,
  FINE_TUNING,
  FIRST_NEW,
  REPLAY,
  RETRAINING,
  SHARE,
  WIDTH,
)
from experiments.instruments import prediction
from experiments.report import picture, sketch
from experiments.report.picture import Finished, Picture
from experiments.runs.subject import Subject

ASKED = (FINE_TUNING, REPLAY, RETRAINING)
SHOWN = 4  # successors, of which a token has no more


def followers(done: Finished) -> Picture | None:
  """What may follow a new token and an old one, and what is said to."""
  models: dict[str, Subject] = {}
  for cell, run in done:
    if cell.arm in ASKED and run.config.model.d_model == WIDTH and (
        _new(run).similarity, _new(run).share) == (ENDS[0], SHARE):
      models.setdefault(cell.arm, run)
  if not models:
    return None
  run = next(iter(models.values()))
  panels, told = [], []
  for kind, chain in (('new', _new(run)), ('old', NewTokensConfig())):
    source = data.opened(chain)
    instance = source.instance(run.config.data.seed)
    tokens_BT = source.batch(instance, 0, 'validation', 0, 1).tokens_BT
    token = int(tokens_BT[0, 0])
    exact_V = np.asarray(instance['transition_VV'])[token]
    shown = np.argsort(-exact_V, kind='stable')[:SHOWN]
    shares = {'exact': _gathered(exact_V, shown)}
    for arm in filter(models.get, ASKED):
      belief_BTV = prediction.beliefs(
        models[arm].config.model, models[arm].params, tokens_BT[:, :1])
      shares[arm] = _gathered(np.asarray(belief_BTV)[0, 0], shown)
    panels.append((f'after {_name(token)}, {kind} text',
                   [*map(_name, shown), 'other\nold', 'other\nnew'], shares))
    given = ', '.join(f'{who} {sum(shares[who][:SHOWN]):.0%}'
                      for who in shares if who != 'exact')
    told.append(f'To what can follow {_name(token)} in {kind} text, '
                f'probability is given: {given}')

  def paint(figure: Any) -> None:
    for axes, (title, names, shares) in zip(
        figure.subplots(len(panels), 1, sharey=True), panels):
      sketch.bars(axes, names, shares)
      axes.set_title(title)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper left', ncols=2)

  return picture.draw(
    'What follows a new token, and is the old text forgotten?',
    'A text is read up to its first token; bars are the probabilities of the '
    'next. The new token is unlike any old one. In old text no new token '
    'follows. The first held-out text of each kind, the first run of each '
    'method: one token decides nothing.',
    f'{". ".join(told)}.', (3.9, 3.9), paint)


def _new(run: Subject) -> NewTokensConfig:
  """The new text that a run reads."""
  source = run.config.data.source
  read = source.parts[0].source if isinstance(source, MixtureConfig) else source
  assert isinstance(read, NewTokensConfig)
  return read


def _gathered(chances_V: np.ndarray, shown: np.ndarray) -> list[float]:
  """Those of some tokens, then of all other old ones, and new ones."""
  rest_V = np.where(np.isin(np.arange(len(chances_V)), shown), 0, chances_V)
  return [*map(float, chances_V[shown]), float(rest_V[:FIRST_NEW].sum()),
          float(rest_V[FIRST_NEW:].sum())]


def _name(token: int) -> str:
  return (f'new {token - FIRST_NEW + 1}' if token >= FIRST_NEW
          else f'old {token + 1}')
