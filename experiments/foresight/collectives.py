"""What devices say to each other in a compiled program, by kind, in bytes."""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from experiments.foresight import hlo
from experiments.foresight.hlo import Computation, Instruction, Module

KINDS = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all',
         'ragged-all-to-all', 'collective-permute', 'collective-broadcast')


class Collective(NamedTuple):
  """One collective of a program, as one device sees it.

  Attributes:
    kind: one of `KINDS`.
    bytes: of the whole value: what is reduced, what is gathered once it is
      whole, what is scattered before it is cut, what is sent.
    group: how many devices take part together.
    times: how often it runs in one call of the program.
  """

  kind: str
  bytes: int
  group: int
  times: int

  @property
  def wire_bytes(self) -> float:
    """Bytes that a device must send each time, at least (a ring sends these).

    Patarasuk & Yuan (2009): gathering or scattering moves (k-1)/k of the value
    through each of k devices; reducing is a scatter and a gather.
    """
    share = (self.group - 1) / self.group
    if self.kind == 'all-reduce':
      return 2 * share * self.bytes
    if self.kind.startswith('collective'):
      return float(self.bytes)
    return share * self.bytes


class Total(NamedTuple):
  """Collectives of one kind: how often they run, their bytes, those sent."""

  times: float
  bytes: float
  wire_bytes: float


def read(text: str, unknown_trips: int = 1) -> list[Collective]:
  """The collectives of a compiled program.

  Args:
    text: what `jax.stages.Compiled.as_text()` returns, for CPU, GPU or TPU.
    unknown_trips: how often a loop runs whose trip count is an input.

  Raises:
    ValueError: not the text of a compiled program.
  """
  module = hlo.parse(text)
  collectives = []
  for instruction, computation, times, _ in hlo.executions(
      module, unknown_trips):
    kind = instruction.opcode.removesuffix('-start')
    if kind not in KINDS or _continues(instruction, computation):
      continue
    group = group_size(instruction, module)
    if group < 2:
      continue
    size = sum(hlo.size(computation.shape(o)) for o in instruction.operands)
    if kind == 'all-gather':
      size *= group
    # The TPU's reduce-scatter: an all-reduce whose fusion keeps one slice.
    if computation.name.startswith('all-reduce-scatter'):
      kind = 'reduce-scatter'
    collectives.append(Collective(kind, size, group, times))
  return collectives


def totals(collectives: Iterable[Collective],
           calls: int = 1) -> dict[str, Total]:
  """Sums by kind, most bytes on the wire first.

  Args:
    collectives: of one call of a program.
    calls: what to divide by, such as the steps that one call takes.
  """
  sums: dict[str, list[float]] = {}
  for one in collectives:
    total = sums.setdefault(one.kind, [0.0, 0.0, 0.0])
    for i, value in enumerate((1, one.bytes, one.wire_bytes)):
      total[i] += one.times * value / calls
  ordered = sorted(sums.items(), key=lambda item: -item[1][2])
  return {kind: Total(*total) for kind, total in ordered}


def group_size(instruction: Instruction, module: Module) -> int:
  """How many devices a collective joins; XLA has four ways to write it."""
  text = instruction.attributes
  if 'source_target_pairs=' in text:
    moves = re.findall(r'\{(\d+),(\d+)\}', text)
    return 2 if any(a != b for a, b in moves) else 1
  if groups := re.search(r'replica_groups=\{\{([\d,]+)\}', text):
    return groups[1].count(',') + 1
  if tiling := re.search(r'replica_groups=\[(\d+),(\d+)\]<=', text):
    return int(tiling[2])
  if axes := re.search(
      r"replica_groups=@?mesh\w*\[([^\]]*)\].*? \{([^}]*)\}", text):
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", axes[1]))
    # 'a':(2)4 is the part of axis a that has size 4.
    return math.prod(int(part or sizes[axis]) for axis, part in re.findall(
      r"'(\w+)'(?::\(\d+\)(\d+))?", axes[2]))
  return module.devices  # {}: all of them


def _continues(instruction: Instruction, computation: Computation) -> bool:
  """Whether this is a later piece of a collective that was counted already.

  The TPU's compiler runs one collective through a chain of fusions; the text
  repeats it in each, and only the first holds AsyncCollectiveStart.
  """
  if 'chain_id=' not in instruction.attributes:
    return False
  return not any('"AsyncCollectiveStart"' in i.attributes
                 for i in computation.instructions.values())
