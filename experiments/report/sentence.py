"""What a result says, in words for a person who knows no statistics.

A part may bring its own words (`Part.sentence`). Where it has none, what was
declared speaks: the statement of an effect as far as its state bears it out,
and no further.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from experiments.judge.numbers import brief, listed
from experiments.judge.record import ClaimResult, EffectResult, StratumResult
from experiments.sweeps.experiment import Experiment, Part

MACHINERY = 'A test of the machinery: no evidence.'


def of_claim(experiment: Experiment, result: ClaimResult) -> dict[str, str]:
  """A sentence or two for each stratum that was asked for, by its name.

  Args:
    experiment: whose parts bring words of their own.
    result: its verdict; of a smoke test one sentence under ''.
  """
  if not result.judged:
    return {stratum.name: f'Not run. {stratum.reason}'
            for stratum in result.strata if stratum.asked}
  if result.evidence == 'smoke':
    return {'': MACHINERY}
  return {stratum.name: of_stratum(experiment.part(stratum.name), stratum)
          for stratum in result.strata if stratum.asked}


def of_stratum(part: Part, stratum: StratumResult) -> str:
  """What a stratum shows, by the part's own words where it has some."""
  subject = stratum.title.partition(':')[0]
  if stratum.verdict == 'not run':
    return f'{subject}: not run. {stratum.reason}'
  if stratum.verdict == 'incomplete':
    return f'{subject}: not finished yet.'
  if stratum.verdict == 'invalid':
    return f'{subject}: a check of the experiment failed, so it shows nothing.'
  own = part.sentence(stratum) if part.sentence else ''
  return own or by_default(stratum)


def by_default(stratum: StratumResult) -> str:
  """What the declared statements say, by the states that were found."""
  failing = [p.statement for p in stratum.properties if p.state == 'fails']
  if failing:
    total = len(stratum.properties)
    held = total - len(failing)
    return (f'{held} of {total} exact statements '
            f'{"holds" if held == 1 else "hold"}. Not so: '
            f'{"; ".join(f"“{statement}”" for statement in failing)}')
  if not stratum.effects:
    return stratum.prediction if stratum.properties else stratum.reason
  return of_effect(telling(stratum.effects, stratum.verdict))


def of_effect(effect: EffectResult) -> str:
  """The effect's statement, as far as its state bears it out."""
  statement = effect.statement.rstrip('.')
  if effect.state == 'supported':
    return f'{statement}.'
  size = f'{brief(effect.smallest)} {effect.unit}'.strip()
  return {
    'equivalent': f'Less than {size} either way, which counts as none: '
                  f'“{statement}”.',
    'smaller': f'There is an effect, of less than {size}: “{statement}”.',
    'outside': f'What was found lies outside the range that makes it true: '
               f'“{statement}”.',
    'opposite': f'The opposite was found of “{statement}”.',
  }.get(effect.word, f'These runs do not decide whether “{statement}”.')


def grouped(stratum: StratumResult, said: Mapping[str, str],
            places: Mapping[str, str],
            size: Callable[[float], str] | None = None,
            alone: bool = False) -> str:
  """Some effects of a stratum as one sentence, those in one state together.

  Args:
    stratum: whose effects they are.
    said: what was found, by the state of an effect; others are passed over.
    places: where it was found, by the name of an effect; '' for nothing.
    size: an estimate in words.
    alone: whether only states that may be told without the rest are told.

  Returns:
    '' where nothing is to be said.
  """
  where: dict[str, list[str]] = {}
  for effect in stratum.effects:
    if effect.name in places and effect.state in said and (
        effect.alone or not alone):
      known = f' ({size(effect.estimate)})' if (
        size and math.isfinite(effect.estimate)) else ''
      where.setdefault(said[effect.state], []).append(
        places[effect.name] + known)
  text = '; '.join(', '.join(filter(None, (listed(names), found)))
                   for found, names in where.items())
  return f'{text[:1].upper()}{text[1:]}.' if text else ''


def telling(effects: Sequence[EffectResult], verdict: str) -> EffectResult:
  """The first effect that shows what the verdict says, or the first of all."""
  states = {'supported': ('supported',), 'inconclusive': ('inconclusive',)}.get(
    verdict, ('equivalent', 'opposite'))
  return next((e for e in effects if e.state in states), effects[0])
