"""One sample problem of each stratum, and what the trained models answer.

Always the first held-out example of its kind, and the first replicate of each
kind of model: nothing is chosen by how it came out.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from data.sources.pointer_chasing import PointerChasing
from data.sources.text import TextSource
from data.sources.tree import Tree
from experiments.instruments.prediction import beliefs
from experiments.report import picture, sketch
from experiments.report.picture import Finished, Picture
from experiments.runs.subject import Subject
from experiments.sweeps import cost

EXAMPLES = 64  # among them at least one of each link count
MODELS = 6  # that answer, at most
LETTERS = 26  # of text that are shown


def composition(done: Finished) -> Picture | None:
  """A cycle, a question about it, and each model's answer."""
  asked = _first_of_each([run for _, run in done
                          if isinstance(run.source, PointerChasing)
                          and not run.source.chain_of_thought])
  if not asked:
    return None
  source = asked[0].source
  assert isinstance(source, PointerChasing)
  batch = asked[0].held_out(EXAMPLES)
  group = len(source.hops) - 1  # the most links
  row = int(np.argmax(np.asarray(batch.group_B) == group))
  v, k = source.symbols, source.hops[group]
  edges = dict(divmod(int(token), v) for token in batch.tokens_BT[row, :v])
  at = int(batch.tokens_BT[row, v] - source.first_query) // len(source.hops)
  path = [at]
  while len(path) < v:
    path.append(edges[path[-1]])
  names = [chr(ord('A') + symbol) for symbol in path]
  answers = []
  for run in asked:
    belief_V = np.asarray(beliefs(
      run.config.model, run.params, batch.tokens_BT[row:row + 1]))[0, v]
    said = int(belief_V.argmax()) - source.first_symbol
    name = chr(ord('A') + said) if 0 <= said < v else 'no symbol'
    answers.append((_size(run), f'{name} ({belief_V.max():.0%})',
                    name == names[k]))
  prompt = '  '.join(f'{chr(65 + a)}→{chr(65 + b)}' for a, b in (
    divmod(int(token), v) for token in batch.tokens_BT[row, :v]))

  def paint(figure):
    upper, lower = figure.subplots(
      2, 1, height_ratios=(3, 0.32 * len(answers) + 0.2))
    sketch.ring(upper, names, k, f'{k} links\nfrom {names[0]}?')
    upper.set_title(prompt, fontsize=8, fontweight='normal', loc='center')
    sketch.verdicts(lower, answers)

  told = '; '.join(f'{who}: {answer}, {"right" if right else "wrong"}'
                   for who, answer, right in answers)
  return picture.draw(
    f'Which letter is {k} links on from {names[0]}?',
    'A model reads the links as they stand above; the ring is drawn for us. '
    'Blue: the links to follow. Green: the answer. In brackets: how sure the '
    'model is. The first newly drawn question with the most links, the first '
    'run of each kind, some trained for longer than others: one question '
    'decides nothing.',
    f'The answer is {names[k]}. {told}.',
    (3.9, 3.3 + 0.3 * len(answers)), paint)


def hierarchy(done: Finished) -> Picture | None:
  """A tree with a masked leaf: the deepest model beside exact inference."""
  runs = [run for _, run in done if isinstance(run.source, Tree)
          and run.source.filter_level == 0]
  if not runs:
    return None
  run = max(runs, key=lambda run: run.config.model.n_layers)
  source = run.source
  assert isinstance(source, Tree)
  batch = run.held_out(EXAMPLES)
  tokens_BT = jnp.asarray(batch.tokens_BT)[:1]
  exact = source.posteriors(run.instance, tokens_BT)
  belief_TV = np.asarray(beliefs(run.config.model, run.params, tokens_BT))[0]
  tokens_T = np.asarray(tokens_BT)[0]
  hidden = int(np.argmax(tokens_T[1:] == source.mask_token))
  names = [chr(ord('a') + symbol) for symbol in range(source.symbols)]
  leaves = [names[t] if t < source.symbols else '?' for t in tokens_T[1:]]
  questions = {
    'the root': (np.asarray(exact[source.levels])[0, 0],
                 belief_TV[source.root_position, :source.symbols]),
    'the hidden leaf': (np.asarray(exact[0])[0, hidden],
                        belief_TV[1 + hidden, :source.symbols])}
  who = _size(run)

  def paint(figure):
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.5, 1.3))
    sketch.tree(upper.subplots(), leaves, hidden)
    for axes, (title, (truth, said)) in zip(
        lower.subplots(1, 2, sharey=True), questions.items()):
      sketch.bars(axes, names, {'exact inference': truth, who: said})
      axes.set_title(title)
    handles, labels = axes.get_legend_handles_labels()
    lower.legend(handles, labels, loc='outside upper left', ncols=2)

  told = '; '.join(
    f'{title}: exact inference says {names[truth.argmax()]} '
    f'({truth.max():.0%}), the model {names[said.argmax()]} ({said.max():.0%})'
    for title, (truth, said) in questions.items())
  return picture.draw(
    'Which symbol stands at the root, and which is hidden?',
    'The model reads the leaves below, one of them hidden, and gives a '
    'probability to each symbol. What can be known at best is worked out '
    'exactly. The first held-out sentence of the first grammar.',
    f'{told}.',
    (3.9, 3.9), paint)


def text(done: Finished) -> Picture | None:
  """A held-out line, and what each model expected at each place."""
  asked = _first_of_each([run for _, run in done
                          if isinstance(run.source, TextSource)])
  if not asked:
    return None
  source = asked[0].source
  assert isinstance(source, TextSource)
  batch = asked[0].held_out(1)
  targets_T = np.asarray(batch.targets_BT)[0, -LETTERS:]
  rows = [('the text', [_shown(source, t) for t in targets_T],
           [0.0] * len(targets_T))]
  told = []
  for run in asked:
    belief_TV = np.asarray(beliefs(
      run.config.model, run.params, batch.tokens_BT))[0, -LETTERS:]
    taken_T = belief_TV[np.arange(len(targets_T)), targets_T]
    bits = float(-np.log2(taken_T).sum())
    rows.append((_size(run), [_shown(source, t) for t in
                               belief_TV.argmax(-1)], list(taken_T)))
    told.append(f'{_size(run)}: {bits:.0f} bits')

  def paint(figure):
    sketch.letters(figure.subplots(), rows)

  return picture.draw(
    'What comes next?',
    'Above, held-out text; below, what each model held most likely at each '
    'place, having read only what stands before. The greener, the more '
    'probability it gave to what really came. Surprise at this line: '
    f'{"; ".join(told)}; fewer is better. The first held-out line and the '
    'first run of each kind: one line decides nothing.',
    f'“{"".join(rows[0][1])}”. Surprise: {"; ".join(told)}.',
    (6.4, 0.5 + 0.34 * len(rows)), paint)


def _first_of_each(runs: Sequence[Subject]) -> list[Subject]:
  """The first run of each kind of model, of those that read alike."""
  first: dict[tuple[str, int, int, int], Subject] = {}
  for run in runs:
    config = run.config.model
    kind = (config.layers, config.n_layers, config.d_model,
            cost.parameters(run.config.model))
    if run.source == runs[0].source:
      first.setdefault(kind, run)
  return sorted(first.values(), key=lambda run: run.config.model.n_layers
                )[:MODELS]


def _size(run: Subject) -> str:
  """'2 layers, 18,000 parameters', to two digits."""
  n, size = run.config.model.n_layers, cost.parameters(run.config.model)
  return (f'{n} layer{"" if n == 1 else "s"}, '
          f'{float(f"{size:.2g}"):,.0f} parameters')


def _shown(source: TextSource, token: int) -> str:
  """A token as something that can be seen."""
  piece = source.tokenizer.pieces_V[token].decode(errors='replace')
  return piece.replace('\n', '⏎').replace(' ', '·') or '¶'
