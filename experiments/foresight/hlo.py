"""Compiled programs as XLA prints them: computations, shapes, loops.

XLA's own cost analysis, and anything that counts lines of the text, takes the
body of a loop once; a scanned stack of layers is such a body. `executions`
walks a program in the order of its calls and says how often each instruction
runs.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_HEADER = re.compile(r'^(ENTRY )?%?([\w.\-]+) \(.*\{$')
_NAME = re.compile(r'^\s+(ROOT )?%?([\w.\-]+) = (.*)$')
_ARRAY = re.compile(r'([a-z]\w*)\[([\d,<=]*)\](?:\{([^}]*)\})?')
_OPERAND = re.compile(r'%([\w.\-]+)')
_CALLEES = re.compile(
  r'(?:calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)'
  r'|branch_computations=\{([^}]*)\}')


class Instruction(NamedTuple):
  """One line of a computation: `name = shape opcode(operands), attributes`."""

  name: str
  shape: str
  opcode: str
  operands: tuple[str, ...]
  arguments: str  # the text between the parentheses
  attributes: str


@dataclasses.dataclass(frozen=True)
class Computation:
  """A named list of instructions; `root` is the one whose value it returns."""

  name: str
  instructions: Mapping[str, Instruction]
  root: str

  @functools.cached_property
  def parameters(self) -> tuple[str, ...]:
    """The names of its parameters, in the order of the call."""
    names = {int(i.arguments): i.name for i in self.instructions.values()
             if i.opcode == 'parameter'}
    return tuple(names[k] for k in sorted(names))

  @functools.cached_property
  def users(self) -> Mapping[str, list[Instruction]]:
    """For each name, the instructions that read it."""
    readers: dict[str, list[Instruction]] = {n: [] for n in self.instructions}
    for instruction in self.instructions.values():
      for operand in dict.fromkeys(instruction.operands):
        if operand in readers:
          readers[operand].append(instruction)
    return readers

  def shape(self, name: str) -> str:
    """The shape of an instruction; '' when it has none in here."""
    instruction = self.instructions.get(name)
    return instruction.shape if instruction else ''


@dataclasses.dataclass(frozen=True)
class Module:
  """A compiled program.

  Attributes:
    computations: by name.
    entry: the name of the one that runs.
    devices: how many devices run it together.
  """

  computations: Mapping[str, Computation]
  entry: str
  devices: int


class Execution(NamedTuple):
  """An instruction, where it stands, how often it runs, and in a fusion?"""

  instruction: Instruction
  computation: Computation
  times: int
  fused: bool


def parse(text: str) -> Module:
  """Reads what `jax.stages.Compiled.as_text()` returns.

  Raises:
    ValueError: not the text of a compiled program.
  """
  computations: dict[str, Computation] = {}
  entry = name = root = ''
  instructions: dict[str, Instruction] = {}
  for line in text.splitlines():
    if header := _HEADER.match(line):
      name, root, instructions = header[2], '', {}
      entry = name if header[1] else entry
    elif line.startswith('}'):
      computations[name] = Computation(name, instructions, root)
    elif definition := _NAME.match(line):
      instruction = _instruction(definition[2], definition[3])
      instructions[instruction.name] = instruction
      root = instruction.name if definition[1] else root
  if not entry:
    raise ValueError('no ENTRY computation: not the text of a compiled program')
  header_line = text[:text.index('\n')]
  counts = [int(n) for n in re.findall(
    r'\b(?:num_partitions|replica_count)=(\d+)', header_line)]
  devices = functools.reduce(int.__mul__, counts, 1)
  return Module(computations, entry, devices)


def executions(module: Module,
               unknown_trips: int = 1) -> Iterator[Execution]:
  """Every instruction that runs, with the trips of the loops around it.

  Args:
    module: the program.
    unknown_trips: how often a loop runs whose count is an input. Each branch
      of a conditional counts as if it were taken.
  """
  def visit(name: str, times: int, fused: bool) -> Iterator[Execution]:
    computation = module.computations[name]
    for instruction in computation.instructions.values():
      yield Execution(instruction, computation, times, fused)
      if instruction.opcode == 'while':
        trips = trip_count(module, instruction)
        yield from visit(
          _attribute(instruction, 'body'),
          times * (unknown_trips if trips is None else trips), fused)
      elif instruction.opcode in ('call', 'fusion', 'async-start',
                                  'conditional'):
        for callee in callees(instruction):
          yield from visit(callee, times,
                           fused or instruction.opcode == 'fusion')

  yield from visit(module.entry, 1, False)


def trip_count(module: Module, loop: Instruction) -> int | None:
  """How often a while loop runs; None where that is known only at run time.

  XLA notes the count on CPU and GPU. The TPU's compiler does not, so there it
  is read from the condition `i < n`, with i from 0 by 1, as JAX writes scans.
  """
  if note := re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.attributes):
    return int(note[1])
  condition = module.computations[_attribute(loop, 'condition')]
  test = condition.instructions[condition.root]
  if test.opcode != 'compare' or 'direction=LT' not in test.attributes:
    return None
  limit = condition.instructions.get(test.operands[-1])
  if limit is None or limit.opcode != 'constant':
    return None
  return int(limit.arguments)


def size(shape: str, main_memory: bool = False) -> int:
  """Bytes of an array, or of all arrays of a tuple.

  Args:
    shape: as printed: 'bf16[2,3]{1,0:T(8,128)S(1)}'.
    main_memory: leave out arrays that are elsewhere (S(1) is a TPU's VMEM).
  """
  total = 0
  for dtype, dimensions, layout in _ARRAY.findall(shape):
    space = re.search(r'S\((\d+)\)', layout)
    if main_memory and space and space[1] != '0':
      continue
    count = 1
    for dimension in re.findall(r'\d+', dimensions):
      count *= int(dimension)
    total += -(-count * _bits(dtype) // 8)
  return total


def _bits(dtype: str) -> int:
  """Bits of one element: bf16 → 16, f8e4m3fn → 8, pred → 8, token → 0."""
  if dtype == 'pred':
    return 8
  digits = re.search(r'^(?:bf|f|s|u|c)(\d+)', dtype)
  return int(digits[1]) if digits else 0


def _instruction(name: str, rest: str) -> Instruction:
  """Splits `shape opcode(arguments), attributes`."""
  end = _closing(rest) if rest.startswith('(') else rest.index(' ')
  shape, rest = rest[:end], rest[end:].lstrip()
  opcode, _, _ = rest.partition('(')
  close = _closing(rest, len(opcode))
  arguments = rest[len(opcode) + 1:close - 1]
  return Instruction(name, shape, opcode, tuple(_OPERAND.findall(arguments)),
                     arguments, rest[close:])


def _closing(text: str, start: int = 0) -> int:
  """The place after the parenthesis that closes the one at `start`."""
  depth = 0
  for bracket in re.compile(r'[()]').finditer(text, start):
    depth += 1 if bracket[0] == '(' else -1
    if depth == 0:
      return bracket.end()
  raise ValueError(f'unbalanced parentheses in {text[:80]!r}')


def _attribute(instruction: Instruction, key: str) -> str:
  value = re.search(rf'\b{key}=%?([\w.\-]+)', instruction.attributes)
  if not value:
    raise ValueError(f'{instruction.name} has no {key}')
  return value[1]


def callees(instruction: Instruction) -> list[str]:
  """The computations that an instruction runs."""
  names = []
  for one, several in _CALLEES.findall(instruction.attributes):
    names += [one] if one else _OPERAND.findall(several)
  return names
