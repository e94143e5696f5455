"""Why a verdict was given, in one plain sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from experiments.judge.declaration import Condition
  from experiments.judge.verdict import (
    ControlResult,
    EffectResult,
    StratumResult,
    Verdict,
  )

WORDS = {
  'supported': 'supported on', 'refuted': 'refuted on',
  'conditional': 'true only under conditions on',
  'inconclusive': 'undecided on', 'invalid': 'no valid measurement on',
  'incomplete': 'incomplete on',
}
EXPLAINED = ('conditional', 'inconclusive', 'invalid', 'incomplete')


def of_claim(verdict: Verdict, strata: Sequence[StratumResult]) -> str:
  """Which strata say what, and why those that are not plain do not decide."""
  parts = []
  for word, begin in WORDS.items():
    found = [s for s in strata if s.verdict == word]
    if verdict in ('incomplete', 'invalid') and word != verdict:
      continue  # a claim without a verdict reports none of its strata
    if found and word in EXPLAINED:
      parts += [f'{begin} {s.name}: {s.reason}' for s in found]
    elif found:
      parts.append(f'{begin} {_listed([s.name for s in found])}')
  return sentence('; '.join(parts))


def of_effects(verdict: Verdict, effects: Sequence[EffectResult],
               conditions: Sequence[Condition]) -> str:
  """The effects that decided, or that kept it open, with their intervals."""
  decisive = {name for name, _ in conditions}
  parts = [of_effect(effect) for effect in effects if effect.name in decisive]
  left_out = max(effect.excluded for effect in effects)
  if left_out:
    units = '1 unit was' if left_out == 1 else f'{left_out} units were'
    parts.append(f'{units} left out because a run diverged')
  return '; '.join(parts)


def of_effect(effect: EffectResult) -> str:
  """Where the effect's interval lies against what it is judged by."""
  smallest = _number(effect.smallest)
  found = (f'{effect.name} is {_number(effect.estimate)} {effect.unit} '
           f'{_interval(effect)}')
  if math.isnan(effect.estimate):
    return f'no unit is left on which to measure {effect.name}'
  if effect.state == 'supported':
    return f'{found}, reaching the smallest effect of interest {smallest}'
  if effect.state == 'refuted' and effect.high < 0:
    return f'{found}, of the opposite sign'
  if effect.state == 'refuted':
    return f'{found}, shown to be smaller than {smallest} either way'
  if effect.low <= effect.clears and effect.high >= effect.smallest:
    bound = ('the smallest effect of interest'
             if effect.clears == effect.smallest else 'the bound')
    return (f'the interval {_interval(effect)} of {effect.name} reaches below '
            f'{bound} {_number(effect.clears)}')
  if effect.high < effect.smallest:
    return (f'{found}, below the smallest effect of interest {smallest}, but '
            'neither opposite in sign nor shown to be negligible')
  if effect.estimate < effect.smallest:
    return (f'{found}, short of the smallest effect of interest {smallest} '
            'and not shown to miss it')
  return (f'{found}, but the exact test of {effect.replicates} independent '
          f'values does not confirm it (p = {_number(effect.p_value)})')


def failed(controls: Sequence[ControlResult]) -> str:
  """The controls outside their range."""
  return '; '.join(
    f'control "{control.name}" gave {_number(control.value)} where '
    f'{control.requirement} is required' for control in controls)


def missing(runs: int, cells: int) -> str:
  """How many runs there are still to be."""
  if not cells:
    return 'no run was planned for it'
  return f'{runs} of {cells} runs {"is" if runs == 1 else "are"} missing'


def changed(declared: str, declaration: str) -> str:
  """The declaration is not the one the runs were made under."""
  return (f'the declaration changed after the first run (it was '
          f'{declared[:12]} and is {declaration[:12]}), so no verdict is '
          'given: restore it, or start anew in an empty results folder')


def sentence(clause: str) -> str:
  """A clause with a capital and a full stop."""
  return f'{clause[:1].upper()}{clause[1:]}.' if clause else ''


def _interval(effect: EffectResult) -> str:
  return f'[{_number(effect.low)}, {_number(effect.high)}]'


def _number(value: float | None) -> str:
  if value is None or math.isnan(value):
    return 'unknown'
  if math.isinf(value):
    return '∞' if value > 0 else '−∞'
  return f'{value:.3g}'.replace('-', '−')


def _listed(names: Sequence[str]) -> str:
  if len(names) < 2:
    return ''.join(names)
  return f'{", ".join(names[:-1])} and {names[-1]}'
