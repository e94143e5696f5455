"""What pictures of sample problems are drawn with: rings, trees, bars, text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.canvas import INK, PALETTE

RIGHT, WRONG, PATH = PALETTE[2], PALETTE[1], PALETTE[0]


def ring(axes: Any, names: Sequence[str], walked: int, asked: str) -> None:
  """A cycle with a walk from its first node.

  Args:
    axes: where it is drawn.
    names: of the nodes, in the order of the cycle.
    walked: how many links are followed.
    asked: what stands in the middle.
  """
  places = [(math.sin(2 * math.pi * i / len(names)),
             math.cos(2 * math.pi * i / len(names)))
            for i in range(len(names))]
  for i, (x, y) in enumerate(places):
    on = i < walked
    axes.annotate('', places[(i + 1) % len(places)], (x, y), arrowprops={
      'arrowstyle': '-|>', 'color': PATH if on else INK, 'shrinkA': 13,
      'shrinkB': 13, 'linewidth': 2.4 if on else 1, 'alpha': 1 if on else .45})
    edge = PATH if i == 0 else RIGHT if i == walked else INK
    strong = i in (0, walked)
    axes.plot([x], [y], 'o', markersize=21, markerfacecolor='none',
              color=edge, markeredgewidth=2.4 if strong else 0.9)
    axes.text(x, y, names[i], ha='center', va='center', fontsize=10,
              fontweight='bold' if strong else 'normal')
  axes.text(0, 0, asked, ha='center', va='center', fontsize=9)
  axes.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect='equal')
  axes.set_axis_off()


def tree(axes: Any, leaves: Sequence[str], hidden: int) -> None:
  """A binary tree whose leaves are read, and whose root is asked for.

  Args:
    axes: where it is drawn.
    leaves: what is read, from the left.
    hidden: the leaf that is masked.
  """
  height = int(math.log2(len(leaves)))
  places = {}
  for level in range(height + 1):
    width = 2**level
    for i in range(len(leaves) // width):
      places[level, i] = ((i + 0.5) * width - 0.5, level)
  for (level, i), (x, y) in places.items():
    if level < height:
      above = places[level + 1, i // 2]
      axes.plot([x, above[0]], [y, above[1]], color=INK, linewidth=1,
                alpha=0.5, zorder=1)
  for (level, i), (x, y) in places.items():
    asked = level == height or (level == 0 and i == hidden)
    name = '?' if asked else leaves[i] if level == 0 else ''
    axes.plot([x], [y], 'o', markersize=19 if name else 6, zorder=2,
              color=PATH if asked else INK, markeredgewidth=2.2 if asked else 1,
              markerfacecolor='#ffffff' if name else INK)
    axes.text(x, y, name, ha='center', va='center', fontsize=10, zorder=3,
              color='#1b2028', fontweight='bold' if asked else 'normal')
  axes.set(xlim=(-0.7, len(leaves) - 0.3), ylim=(-0.35, height + 0.3))
  axes.set_axis_off()


def bars(axes: Any, names: Sequence[str],
         shares: Mapping[str, Sequence[float]]) -> None:
  """Shares of several beholders side by side.

  Args:
    axes: where they are drawn.
    names: what the shares are of.
    shares: of each beholder, in [0, 1].
  """
  width = 0.8 / len(shares)
  for index, (who, values) in enumerate(shares.items()):
    left = -0.4 + (index + 0.5) * width
    axes.bar([i + left for i in range(len(names))], values, width * 0.9,
             color=PALETTE[index % len(PALETTE)], label=who,
             hatch='' if index == 0 else '///', edgecolor=INK, linewidth=0.5)
  axes.set_xticks(range(len(names)), names)
  axes.set_ylim(0, 1.05)
  axes.set_yticks([0, 0.5, 1], ['0', '50 %', '100 %'])


def verdicts(axes: Any, answers: Sequence[tuple[str, str, bool]]) -> None:
  """Who answers what, a line each, with a sign that says whether it is right.

  Args:
    axes: where they are written.
    answers: who, the answer, whether it is right.
  """
  for line, (who, answer, right) in enumerate(answers):
    axes.text(0.0, -line, who, va='center')
    axes.text(1.0, -line, f'{answer}  {"✓" if right else "✗"}', va='center',
              ha='right', fontweight='bold', color=RIGHT if right else WRONG)
  axes.set(xlim=(0, 1), ylim=(-len(answers) + 0.4, 0.6))
  axes.set_axis_off()


def letters(axes: Any, rows: Sequence[tuple[str, Sequence[str],
                                            Sequence[float]]]) -> None:
  """Lines of pieces of text, each shaded by a share.

  Args:
    axes: where they are written.
    rows: the line's name, its pieces, and a share in [0, 1] for each.
  """
  longest = max(len(pieces) for _, pieces, _ in rows)
  for line, (name, pieces, shares) in enumerate(rows):
    axes.text(-0.6, -line, name, va='center', ha='right')
    for at, (piece, share) in enumerate(zip(pieces, shares)):
      axes.add_patch(_box(at, -line, share))
      axes.text(at, -line, piece, va='center', ha='center',
                family='monospace')
  axes.set(xlim=(-0.6, longest - 0.4), ylim=(-len(rows) + 0.4, 0.6))
  axes.set_axis_off()


def _box(x: float, y: float, share: float) -> Any:
  from matplotlib.patches import Rectangle
  return Rectangle((x - 0.5, y - 0.42), 1, 0.84, color=RIGHT, linewidth=0,
                   alpha=0.65 * share)
