"""What the runs of a plan read, in words: the text is named."""

from data.text import leak
from experiments.judge.numbers import listed
from experiments.report.wording import label
from experiments.sweeps.plan import Plan
from experiments.sweeps.task import Train
from train import programs


def of_plan(plan: Plan) -> dict[str, list[str]]:
  """For each part what its runs are trained and scored on, a line a source."""
  return {part.name: _lines(plan, part.name) for part in plan.parts}


def _lines(plan: Plan, part: str) -> list[str]:
  configs = [cell.config for cell in plan.cells if cell.stratum == part
             and isinstance(cell.task, Train)]
  lines, drawn = [], []
  for config in dict.fromkeys(configs):
    source = programs.source_of(config)
    name = label(config.data.source.name)
    if 'sha256' not in source.fingerprint:
      drawn.append(name)
      continue
    facts = source.fingerprint
    lines.append(f'{name}: {facts["documents"]:,} documents of text, '
                 f'{facts["bytes"]:,} bytes (sha256 {facts["sha256"][:12]}). '
                 f'{" ".join(leak.sentences(facts))}')
  if drawn:
    lines.append(f'{listed(list(dict.fromkeys(drawn)))}: drawn anew for each '
                 'batch, by rule')
  return list(dict.fromkeys(lines))
