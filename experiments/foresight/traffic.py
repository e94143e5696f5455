"""Bytes that a compiled program reads from and writes to main memory.

An estimate for a roofline: every instruction outside a fusion reads its
operands and writes its result once, a slice costs what it takes and an update
in place what it puts. XLA counts the same way, but the body of a loop once.
"""

import re

from experiments.foresight import hlo
from experiments.foresight.hlo import Computation, Instruction, Module

# These move nothing, or what they call is counted instead.
_FREE = frozenset((
  'parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'while',
  'call', 'conditional', 'async-start', 'async-update', 'async-done',
  'after-all', 'partition-id', 'replica-id', 'iota', 'optimization-barrier'))
# Calls by which a TPU's compiler names memory, and moves none.
_NAMES_MEMORY = re.compile(
  r'custom_call_target="(AllocateBuffer|ConcatBitcast)"')
_SLICES = ('slice', 'dynamic-slice', 'gather')
_RENAMES = ('bitcast', 'reshape')


def main_memory_bytes(text: str, unknown_trips: int = 1) -> int:
  """Bytes that one device moves in one call of a program.

  Args:
    text: what `jax.stages.Compiled.as_text()` returns.
    unknown_trips: how often a loop runs whose trip count is an input.
  """
  module = hlo.parse(text)
  return sum(times * _bytes(instruction, computation, module)
             for instruction, computation, times, fused
             in hlo.executions(module, unknown_trips) if not fused)


def _bytes(instruction: Instruction, computation: Computation,
           module: Module) -> int:
  opcode = instruction.opcode
  if (opcode in _FREE or opcode.endswith('-done')
      or _NAMES_MEMORY.search(instruction.attributes)):
    return 0
  result = _size(instruction.shape)
  operands = [_size(computation.shape(o)) for o in instruction.operands]
  if opcode in ('slice-start', 'dynamic-slice-start'):
    piece = computation.users[instruction.name][0].shape  # of its -done
    return (hlo.size(piece) if operands[0] else 0) + _size(piece)
  if opcode.endswith('-start') and opcode != 'all-reduce-start':
    return result  # which holds the operands too
  if opcode in _SLICES:
    return 2 * result
  if opcode == 'dynamic-update-slice':
    return 2 * operands[1]
  if opcode == 'fusion':
    inner = module.computations[hlo.callees(instruction)[0]]
    reads = sum(min(operand, _read(inner, name, module))
                for operand, name in zip(operands, inner.parameters))
    return reads + min(result, _written(inner, inner.root))
  return result + sum(operands)


def _read(computation: Computation, name: str, module: Module) -> int:
  """Bytes of a fusion's parameter that its instructions look at."""
  whole = hlo.size(computation.shape(name))
  total = 0
  for user in computation.users[name]:
    if user.opcode in _SLICES and user.operands[0] == name:
      total += hlo.size(user.shape)
    elif user.opcode in _RENAMES:
      total += _read(computation, user.name, module)
    elif user.opcode == 'fusion':
      inner = module.computations[hlo.callees(user)[0]]
      total += sum(_read(inner, parameter, module)
                   for operand, parameter in zip(user.operands,
                                                 inner.parameters)
                   if operand == name)
    elif not (user.opcode == 'dynamic-update-slice'
              and user.operands[0] == name):
      return whole
  return min(whole, total)


def _written(computation: Computation, name: str) -> int:
  """Bytes that a fusion puts into its result."""
  instruction = computation.instructions[name]
  if instruction.opcode == 'tuple':
    return sum(_written(computation, o) for o in instruction.operands)
  if instruction.opcode in _RENAMES:
    return _written(computation, instruction.operands[0])
  if instruction.opcode == 'dynamic-update-slice':
    return hlo.size(computation.shape(instruction.operands[1]))
  return hlo.size(instruction.shape)


def _size(shape: str) -> int:
  return hlo.size(shape, main_memory=True)
