"""Why a verdict was given, in one plain sentence."""

import math
from collections.abc import Mapping, Sequence

from experiments.judge.declaration import Premise
from experiments.judge.numbers import brief, listed
from experiments.judge.record import (
  ControlResult,
  EffectResult,
  PropertyResult,
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
EXPLAINED = ('invalid', 'incomplete')


def of_claim(verdict: Verdict, strata: Sequence[StratumResult],
             left_out: Sequence[str] = (),
             absent: Mapping[str, str] | None = None) -> str:
  """Which strata say what, and why those without a verdict have none.

  Args:
    verdict: of the claim.
    strata: those that were run.
    left_out: those that were not, and that the claim needs.
    absent: those that could not be, {stratum: why}.
  """
  absent = absent or {}
  if not strata and absent:
    return '; '.join(dict.fromkeys(absent.values()))
  alone = ' only' if left_out else ''
  parts = []
  for word, begin in WORDS.items():
    own = [s for s in strata if s.verdict == word]
    if verdict in ('incomplete', 'invalid') and word != verdict:
      continue  # a claim without a verdict reports none of its strata
    if word == 'conditional':
      exact, own = _split(own)
      if exact:
        parts.append('true in the charitable reading only on '
                     f'{listed([s.name for s in exact])}')
    if own and word in EXPLAINED:
      parts += [f'{begin} {s.name}: {_shortly(s)}' for s in own]
    elif own:
      parts.append(f'{begin} {listed([s.name for s in own])}{alone}')
  if left_out:
    were = 'was' if len(left_out) == 1 else 'were'
    whys = dict.fromkeys(absent[name] for name in left_out if name in absent)
    because = f' ({"; ".join(whys)})' if whys else ''
    parts.append(f'{listed(left_out)} {were} not run{because}')
  return '; '.join(parts)


def _split(strata: Sequence[StratumResult]
           ) -> tuple[list[StratumResult], list[StratumResult]]:
  """Those of exact properties alone, whose conditions are readings; others."""
  return ([s for s in strata if not s.effects],
          [s for s in strata if s.effects])


def _shortly(stratum: StratumResult) -> str:
  """A stratum's reason; of exact properties alone, what fails."""
  failing = [] if stratum.effects else _failing(stratum.properties)
  return '; '.join(failing) or stratum.reason


def of_premises(effects: Sequence[EffectResult],
                properties: Sequence[PropertyResult],
                premises: Sequence[Premise]) -> str:
  """What decided, or kept it open: intervals, and counterexamples."""
  decisive = {name for name, _ in premises}
  parts = [of_effect(effect) for effect in effects if effect.name in decisive]
  parts += of_properties([own for own in properties if own.name in decisive])
  left_out = max((effect.excluded for effect in effects), default=0)
  if left_out:
    units = '1 unit was' if left_out == 1 else f'{left_out} units were'
    parts.append(f'{units} left out because a run diverged')
  return '; '.join(parts)


def of_properties(results: Sequence[PropertyResult]) -> list[str]:
  """Which hold, together, and what each of the others fails on."""
  hold = [result.name for result in results if result.state == 'holds']
  verb = 'holds' if len(hold) == 1 else 'hold'
  together = [f'{listed(hold)} {verb}'] if hold else []
  return together + _failing(results)


def _failing(results: Sequence[PropertyResult]) -> list[str]:
  return [f'{result.name} fails: {result.counterexample.rstrip(".")}'
          for result in results if result.state == 'fails']


def of_effect(effect: EffectResult) -> str:
  """Where the effect's interval lies against what it is judged by."""
  if not effect.replicates:
    return f'no unit is left on which to measure {effect.name}'
  if math.isnan(effect.estimate):
    return (f'{effect.name} is undefined: what it is worked out from never '
            'varies, or was never reached')
  if not math.isfinite(effect.low) and not math.isfinite(effect.high):
    values = 'value' if effect.replicates == 1 else 'values'
    are = 'is' if effect.replicates == 1 else 'are'
    return (f'{effect.replicates} independent {values} of {effect.name} {are} '
            'too few to show anything')
  estimate = (f'{effect.name} is {_number(effect.estimate)} {effect.unit} '
              f'{_interval(effect)}')
  if effect.band is not None:
    where = {'supported': 'inside', 'opposite': 'outside'}.get(
      effect.state, 'not shown to lie inside or outside')
    low, high = map(_number, effect.band)
    return f'{estimate}, {where} the band from {low} to {high}'
  assert effect.smallest is not None
  smallest = _number(effect.smallest)
  if effect.state == 'inconclusive' and effect.low > effect.null:
    return (f'{estimate}, above {_number(effect.null)} but not shown to exceed '
            f'the smallest effect of interest {smallest}')
  # Of a ratio no effect is 1, and its mirror is the inverse.
  lower = 1 / effect.smallest if effect.null else -effect.smallest
  return estimate + {
    'smaller': f', shown to be there and to be smaller than {smallest}',
    'supported': f', beyond the smallest effect of interest {smallest}',
    'equivalent': f', shown to lie between {_number(lower)} and {smallest}, '
                  'so that it is no effect of interest',
    'opposite': f', opposite and beyond {_number(effect.bound)}',
    'inconclusive': ', which leaves open whether it exceeds the smallest '
                    f'effect of interest {smallest}',
  }[effect.word]


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
