"""Say how often each verdict comes out of effects of a known size.

Nothing is trained: effects are planted at -1, 0, 1, 1.5 and 2 times the
smallest of interest, with the replicates that the plan has, and judged by the
rule that will judge the results. The tables are Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from experiments.commands.parser import add_experiment, whole
from experiments.machine.usage import UsageError

if TYPE_CHECKING:
  from experiments.judge.declaration import Claim
  from experiments.judge.power import EffectPower, Power, Share
  from experiments.sweeps.plan import Plan

NOTE = '''\
Each line is {draws:,} samples of a planted effect, decided as results are. \
σ is the spread of one replicate, as pilots found it or else as large as the \
smallest effect of interest (of a ratio, the factor of one standard deviation; \
–: the size decides it). \
A band's edge is planted at 1, its middle at 2. \
False positives: "supported" at 1 or less, "opposite" at −1 or more, \
"equivalent" at −1 or 1, of a band "opposite" (outside it) at 1 or more; \
each at most {alpha:.0%} but for chance.

Of strata and of the claim, every effect that the rule needs is planted as it \
asks, at so many times the smallest; the effects independently of one another, \
which effects of the same runs are not. Every control passes. Exact properties \
have no power: they hold or fail.'''
UNCENSORED = '''\
Times to solve are planted as if each run were watched until it solves. A run \
that a budget ends first tells less, so the power of these is at most what is \
printed.'''


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  parser.add_argument('--draws', type=whole(10), metavar='N', default=1000,
                      help='samples of each planted effect (default: 1000)')
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Simulates and prints it."""
  from experiments.commands import conclusion
  from experiments.judge import attainability, power
  plan = options.plan(options)
  claim = conclusion.declared(plan)
  if claim is None:
    raise UsageError(f'{plan.experiment.name} declares nothing, so there is '
                     'nothing to have power for')
  strata, whole_claim = power.simulate(
    claim, attainability.designs(plan, claim), options.draws)
  print('\n'.join(page(plan, claim, strata, whole_claim, options.draws)))
  return 0


def page(plan: Plan, claim: Claim, strata: Sequence[Power],
         whole_claim: Power, draws: int) -> Iterator[str]:
  """The lines of the tables."""
  yield f'# Power: {claim.id}, preset {plan.preset}\n'
  yield NOTE.format(draws=draws, alpha=claim.alpha) + '\n'
  shown = {one.name for one in strata}
  if any(effect.analysis == 'time to solve' for stratum in claim.strata
         if stratum.name in shown for effect in stratum.effects):
    yield UNCENSORED + '\n'
  yield '## Verdicts\n'
  yield from _table(('', 'supported at 1', 'at 1.5', 'at 2', 'refuted'), [
    (one.name or '**claim**', *(_share(one.predicted.get(times), 'supported')
                                for times in (1, 1.5, 2)),
     _share(one.refuted, 'refuted')) for one in (*strata, whole_claim)])
  for one in strata:
    yield from _stratum(one)


def _stratum(one: Power) -> Iterator[str]:
  states = ('supported', 'equivalent', 'opposite', 'inconclusive')
  if not one.effects:
    return
  yield f'\n## {one.name}\n'
  rows = []
  for effect in one.effects:
    if effect.replicates is None:
      rows.append((effect.name, 'known once measured', *['–'] * 6))
    for times, share in effect.states.items():
      rows.append((effect.name, str(effect.replicates), _sigma(effect),
                   f'{times:g}'.replace('-', '−'),
                   *(_share(share, state) for state in states)))
  yield from _table(('effect', 'replicates', 'σ', 'planted', *states), rows)


def _sigma(effect: EffectPower) -> str:
  return '–' if effect.sigma is None else f'{effect.sigma:g}'


def _share(share: Share | None, word: str) -> str:
  return f'{share.get(word, 0):.2f}' if share else '–'


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]
           ) -> Iterator[str]:
  """A Markdown table, its columns in line."""
  widths = [max(map(len, column)) for column in zip(names, *rows)]
  for row in (names, ['-' * width for width in widths], *rows):
    yield '| ' + ' | '.join(
      text.ljust(width) for text, width in zip(row, widths)) + ' |'
