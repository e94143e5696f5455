"""A sample problem with a model's own answer: drawn once, kept with the report.

Drawing one asks finished runs for their parameters and applies them. What comes
of it is kept beside the table, under the digest of the function that draws and
the runs that it draws from, so that a report is written again without a model.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data import durable
from experiments.judge import table
from experiments.report import canvas
from experiments.runs import digest, instrument
from experiments.runs.store import Store
from experiments.runs.subject import Subject
from experiments.sweeps.algebra import Cell
from experiments.sweeps.experiment import Part
from experiments.sweeps.identity import run_id
from experiments.sweeps.plan import Plan

FOLDER = 'problems'
# Of a part, in the order of its plan; parameters are read when asked for.
Finished = Sequence[tuple[Cell, Subject]]


@dataclasses.dataclass(frozen=True)
class Picture:
  """One sample problem.

  Attributes:
    title: what is asked.
    caption: how to read the drawing.
    told: what the drawing says, for those who do not see it.
    svg: the drawing.
    width: pixels at which its text has its natural size.
  """

  title: str
  caption: str
  told: str
  svg: str
  width: int

  @property
  def label(self) -> str:
    """What the drawing is, for those who do not see it."""
    return f'{self.title} {self.told}'

  def inline(self, name: str) -> str:
    """The drawing as an element of a page; `name` is unique there."""
    return canvas.inline(self.svg, name, self.label)

  @property
  def document(self) -> str:
    """The drawing as a file."""
    return canvas.document(self.svg, self.label)


def draw(title: str, caption: str, told: str, size: tuple[float, float],
         paint: Callable[[Any], None]) -> Picture:
  """A picture, painted on a matplotlib figure of `size` inches."""
  return Picture(title, caption, told, canvas.draw(size, paint),
                 round(size[0] * 96))


def of_part(plan: Plan, part: Part) -> Picture | None:
  """The sample problem of a part; None where nothing is drawn or finished.

  Raises:
    UsageError: a run's parameters are not there any more. (Or what the part's
      own function raises.)
  """
  if part.problem is None:
    return None
  store = Store(plan.runs)
  cells = [cell for cell in plan.cells if cell.stratum == part.name
           and table.status(store, cell.task, part) == 'done']
  if not cells:
    return None
  drawn_from = [digest.digest(part.problem), *(run_id(c.task) for c in cells)]
  key = hashlib.sha256(json.dumps(drawn_from).encode()).hexdigest()
  path = plan.output / FOLDER / f'{part.name}.json'
  kept = _kept(path, key)
  if kept is None:
    kept = part.problem([(c, instrument.stored(store, c.task)) for c in cells])
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write_json(path, {
      'key': key, 'picture': kept and dataclasses.asdict(kept)})
    return kept
  return Picture(**kept) if kept else None


def _kept(path: Path, key: str) -> dict[str, Any] | None:
  """What was drawn, {} where that was nothing; None if it has to be drawn."""
  content = durable.read_json(path)
  if not content or content.get('key') != key:
    return None
  return content['picture'] or {}
