"""Why a verdict was given, in one plain sentence."""

import math
from collections.abc import Sequence

from experiments.judge.declaration import Premise
from experiments.judge.numbers import brief, listed
from experiments.judge.record import (
  ControlResult,
  EffectResult,
  StratumResult,
  Verdict,
)
from experiments.judge.seal import Amendment

WORDS = {
  'supported': 'supported on', 'refuted': 'refuted on',
  'conditional': 'true only under conditions on',
  'inconclusive': 'undecided on', 'invalid': 'no valid measurement on',
  'incomplete': 'incomplete on',
}
NOT_RUN = 'It was not asked for.'
EXPLAINED = ('conditional', 'inconclusive', 'invalid', 'incomplete')


def of_claim(verdict: Verdict, strata: Sequence[StratumResult],
             left_out: Sequence[str] = ()) -> str:
  """Which strata say what, and why those that are not plain do not decide.

  Args:
    verdict: of the claim.
    strata: those that were run.
    left_out: those that were not, and that the claim needs.
  """
  alone = ' only' if left_out else ''
  parts = []
  for word, begin in WORDS.items():
    own = [s for s in strata if s.verdict == word]
    if verdict in ('incomplete', 'invalid') and word != verdict:
      continue  # a claim without a verdict reports none of its strata
    if own and word in EXPLAINED:
      parts += [f'{begin} {s.name}: {s.reason}' for s in own]
    elif own:
      parts.append(f'{begin} {listed([s.name for s in own])}{alone}')
  if left_out:
    were = 'was' if len(left_out) == 1 else 'were'
    parts.append(f'{listed(left_out)} {were} not run')
  return '; '.join(parts)


def of_effects(verdict: Verdict, effects: Sequence[EffectResult],
               premises: Sequence[Premise]) -> str:
  """The effects that decided, or that kept it open, with their intervals."""
  decisive = {name for name, _ in premises}
  parts = [of_effect(effect) for effect in effects if effect.name in decisive]
  left_out = max(effect.excluded for effect in effects)
  if left_out:
    units = '1 unit was' if left_out == 1 else f'{left_out} units were'
    parts.append(f'{units} left out because a run diverged')
  return '; '.join(parts)


def of_effect(effect: EffectResult) -> str:
  """Where the effect's interval lies against what it is judged by."""
  smallest = _number(effect.smallest)
  estimate = (f'{effect.name} is {_number(effect.estimate)} {effect.unit} '
              f'{_interval(effect)}')
  if math.isnan(effect.estimate):
    return f'no unit is left on which to measure {effect.name}'
  if effect.state == 'supported':
    return f'{estimate}, reaching the smallest effect of interest {smallest}'
  if effect.state == 'refuted' and effect.high < 0:
    return f'{estimate}, of the opposite sign'
  if effect.state == 'refuted':
    return f'{estimate}, shown to be smaller than {smallest} either way'
  if effect.low <= effect.clears and effect.high >= effect.smallest:
    bound = ('the smallest effect of interest'
             if effect.clears == effect.smallest else 'the bound')
    return (f'the interval {_interval(effect)} of {effect.name} reaches below '
            f'{bound} {_number(effect.clears)}')
  if effect.high < effect.smallest:
    return (f'{estimate}, below the smallest effect of interest {smallest}, '
            'but neither opposite in sign nor shown to be negligible')
  if effect.estimate < effect.smallest:
    return (f'{estimate}, short of the smallest effect of interest {smallest} '
            'and not shown to miss it')
  return (f'{estimate}, but the exact test of {effect.replicates} independent '
          f'values does not confirm it (p = {_number(effect.p_value)})')


def failed(controls: Sequence[ControlResult]) -> str:
  """The controls outside their range."""
  return '; '.join(
    f'control "{control.name}" gave {_number(control.value)} where '
    f'{control.requirement} is required' for control in controls)


def missing(runs: int, cells: int) -> str:
  """How many runs are still to be trained or measured."""
  if not cells:
    return 'no run was planned for it'
  return (f'{runs} of {cells} runs {"is" if runs == 1 else "are"} missing or '
          'not measured')


def changed(changes: Sequence[str]) -> str:
  """The declaration is not the one the runs were made under."""
  return (f'the declaration changed after the first run ({"; ".join(changes)}),'
          ' so no verdict is given: restore it, or start anew in an empty '
          'results folder')


def amended(amendments: Sequence[Amendment]) -> str:
  """Which measurements were changed after the first run; '' for none."""
  if not amendments:
    return ''
  days = [f'that of {a.stratum} on {a.date[:10]}' for a in amendments]
  return ('amended after the first run: a measurement was changed, '
          f'{listed(list(dict.fromkeys(days)))}')


def sentence(clause: str) -> str:
  """A clause with a capital and a full stop."""
  return f'{clause[:1].upper()}{clause[1:]}.' if clause else ''


def _interval(effect: EffectResult) -> str:
  return f'[{_number(effect.low)}, {_number(effect.high)}]'


def _number(value: float | None) -> str:
  return 'unknown' if value is None or math.isnan(value) else brief(value)
