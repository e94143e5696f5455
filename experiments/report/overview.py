"""One page on many statements: what is right, wrong, dependent, and open."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from experiments import report
from experiments.judge.ledger import Finding, Standing
from experiments.judge.numbers import listed, number
from experiments.report import wording
from experiments.report.terms import Glossary

# Which verdicts stand under which heading, in the order of the page.
GROUPS = {
  'right': ('Right', ('supported',)),
  'wrong': ('Wrong', ('refuted',)),
  'depends': ('It depends', ('conditional',)),
  'open': ('Undecided', ('inconclusive', 'invalid', 'incomplete')),
  'not-yet': ('Not yet judged', ('not yet', 'not run')),
}
_COUNTED = {'right': 'right', 'wrong': 'wrong', 'depends': 'right under '
            'conditions only', 'open': 'undecided'}


@dataclasses.dataclass(frozen=True)
class Entry:
  """A statement and how it stands.

  Attributes:
    id, text: of the statement.
    card: of the design that judges it.
    tiers: the kinds of evidence that are planned.
    part: what of it was judged; '' for all.
    sanity: nearly true by definition.
    standing: of what was found.
    findings: what was found.
  """

  id: str
  text: str
  card: str
  tiers: Sequence[str]
  part: str
  sanity: bool
  standing: Standing
  findings: Sequence[Finding]

  @property
  def verdict(self) -> str:
    """The verdict with what must be said beside it."""
    strong = ' (strong)' if self.standing.strong else ''
    return f'{self.standing.verdict}{strong}'

  @property
  def limits(self) -> str:
    """What the verdict does not speak about; '' where it is whole."""
    if not self.findings:
      return self.standing.why
    words = [f'only {self.part}'] if self.part else []
    words += [f'without {listed(self.standing.missing)}'
              ] if self.standing.missing else []
    return ', '.join(words)

  @property
  def evidence(self) -> str:
    """Kinds of evidence and replicates: 'E1, 8 replicates'."""
    tiers = dict.fromkeys(found.tier for found in self.findings)
    fewest = [f.replicates for f in self.findings if f.replicates]
    words = [*tiers, *([f'{min(fewest)} replicates'] if fewest else [])]
    return ', '.join(words)

  @property
  def cost(self) -> str:
    """What the runs behind it took."""
    if not self.findings:
      return ''
    flops = sum(found.flops for found in self.findings)
    seconds = sum(found.worker_seconds for found in self.findings)
    if not flops:
      return 'no training'
    return f'{number(flops, 2)} FLOPs, {max(1, round(seconds / 60))} min'


def summary(entries: Sequence[Entry]) -> str:
  """How many statements stand how, in a sentence."""
  counts = {key: sum(entry.standing.verdict in verdicts for entry in entries)
            for key, (_, verdicts) in GROUPS.items()}
  judged = len(entries) - counts['not-yet']
  parts = [f'{counts[key]} {words}' for key, words in _COUNTED.items()
           if counts[key]]
  if not judged:
    return f'None of {len(entries)} statements has been judged yet.'
  verb = 'has' if judged == 1 else 'have'
  return (f'Of {len(entries)} statements {judged} {verb} been judged, '
          f'as far as is said beside each: {listed(parts)}.')


def write(folder: Path, entries: Sequence[Entry]) -> Path:
  """Writes the page; its path.

  Args:
    folder: where it goes; the reports that it links to lie relative to the
      folder above.
    entries: all statements.
  """
  grouped = {key: [e for e in entries if e.standing.verdict in verdicts]
             for key, (_, verdicts) in GROUPS.items()}
  text = report.page('overview.html.jinja', {
    'entries': entries, 'groups': GROUPS, 'grouped': grouped,
    'summary': summary(entries), 'tiers': wording.TIERS,
    'signs': wording.SIGNS}, Glossary({}))
  path = folder / 'report.html'
  folder.mkdir(parents=True, exist_ok=True)
  path.write_text(text, encoding='utf-8')
  return path
