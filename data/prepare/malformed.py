"""The lines that hold no document: counted, judged, reported."""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data import durable
from data.errors import InputError
from data.prepare.parts import Input, Part
from data.text import shards

# The share of malformed lines is judged when this many lines were read, and
# after every part from then on; a few bad lines at the beginning say little.
JUDGED_AFTER_LINES = 10_000

REPORTED_LINES = 1000  # malformed ones that the report names
SHOWN_LINES = 5  # and those in a message


@dataclasses.dataclass(frozen=True)
class Malformed:
  """The lines that hold no document, up to some part.

  Attributes:
    lines: all lines.
    problems: how many there are of each kind.
    first: of the first ones, 'file:line: problem (detail)'.
  """

  lines: int
  problems: dict[str, int]
  first: list[str]

  @property
  def count(self) -> int:
    """How many lines are malformed."""
    return sum(self.problems.values())

  @property
  def share(self) -> float:
    """Of all lines."""
    return self.count / max(self.lines, 1)


def add(planned: Sequence[Part],
        records: Sequence[dict[str, Any]]) -> Malformed:
  """Adds up records of the first parts; lines are counted from each file's."""
  problems: collections.Counter[str] = collections.Counter()
  before: collections.Counter[Path] = collections.Counter()
  first: list[str] = []
  for part, record in zip(planned, records):
    problems.update(record['malformed']['problems'])
    offsets = []
    for piece, count in zip(part.pieces, record['lines']):
      offsets.append(before[piece.path])
      before[piece.path] += count
    room = REPORTED_LINES - len(first)
    for i, line, problem, detail in record['malformed']['first'][:room]:
      first.append(f'{part.pieces[i].path}:{offsets[i] + line}: {problem} '
                   f'({detail})')
  return Malformed(before.total(), dict(problems), first)


def judge(folder: Path, files: Sequence[Input], malformed: Malformed,
          max_bad: float, complete: bool) -> None:
  """Stops the run where too many lines are malformed.

  Args:
    folder: where the report goes.
    files: the input.
    malformed: up to some part.
    max_bad: the share that is allowed.
    complete: whether these are the lines of all parts.

  Raises:
    InputError: names the first of them.
  """
  judged = complete or malformed.lines >= JUDGED_AFTER_LINES
  if not judged or malformed.share <= max_bad:
    return
  write(folder, files, malformed)
  shown = '\n  '.join(malformed.first[:SHOWN_LINES])
  raise InputError(
    f'{malformed.count} of {malformed.lines} lines are malformed, more than '
    f'--max-bad={max_bad}; the first:\n  {shown}\n'
    f'{folder / shards.REPORT} counts and names more. Mend the input, or raise '
    '--max-bad to leave such lines out; what is finished is kept')


def write(folder: Path, files: Sequence[Input], malformed: Malformed) -> None:
  """Writes the report of a corpus."""
  durable.write_json(folder / shards.REPORT, {
    'files': [{'path': str(f.path), 'bytes': f.size} for f in files],
    **dataclasses.asdict(malformed)})


def read(folder: Path) -> Malformed:
  """What the report of a corpus says."""
  report = durable.read_json(folder / shards.REPORT) or {}
  return Malformed(report.get('lines', 0), report.get('problems', {}),
                   report.get('first', []))
