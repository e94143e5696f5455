"""What an exact stratum shows, in words: a line with its own verdict."""

from experiments.judge.numbers import listed
from experiments.judge.record import PropertyResult, StratumResult

KINDS = ('literal: ', 'stricter: ')
VERDICTS = {
  'supported': 'supported',
  'refuted': 'refuted',
  'conditional': 'conditional, in the charitable reading only',
  'inconclusive': 'undecided',
}


def readings(stratum: StratumResult) -> str:
  """The verdict, what was found, and each statement that does not hold."""
  found = {'supported': stratum.prediction, 'conditional': stratum.prediction,
           'refuted': stratum.refutation}.get(stratum.verdict, '')
  fails = [_named(p) for p in stratum.properties if p.state == 'fails']
  but = '' if stratum.verdict == 'refuted' or not fails else (
    f'What does not hold: {listed(fails)}.')
  subject = stratum.title.partition(':')[0]
  return ' '.join(filter(None, (
    f'{subject}: {VERDICTS[stratum.verdict]}.', found, but)))


def _named(failing: PropertyResult) -> str:
  """Its name in quotation marks, and whether it asks for more than was said."""
  for kind in KINDS:
    if failing.name.startswith(kind):
      more = ' (a stricter count)' if kind == 'stricter: ' else ''
      return f'“{failing.name.removeprefix(kind)}”{more}'
  return f'“{failing.name}”'
