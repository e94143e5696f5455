"""What an exact stratum shows, in words: what holds, and what does not."""

from experiments.judge.numbers import listed
from experiments.judge.record import StratumResult

LITERAL = 'literal: '


def readings(stratum: StratumResult) -> str:
  """The charitable reading where it holds, and each reading that fails."""
  if stratum.verdict not in ('supported', 'conditional'):
    return ''
  subject = stratum.title.partition(' (')[0]
  fails = [f'“{p.name.removeprefix(LITERAL)}”' for p in stratum.properties
           if p.state == 'fails']
  but = f' What does not hold: {listed(fails)}.' if fails else ''
  return f'{subject}: {stratum.prediction}{but}'
