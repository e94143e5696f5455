"""How long a traced program is: its critical path, and its operations.

A program is a graph of operations on arrays. With as many processors as one
likes it still takes as many steps, one after the other, as its longest path
has operations. A loop (`scan`) is unrolled: its body counts once a turn, from
carry to carry. What computes nothing (a reshape, a slice, a barrier) is free.

An operation on arrays is one step, whatever their size. A sum over m numbers
is one step too where it is counted as a wire, and ceil(log2 m) where it is
counted as a tree of additions, which is what a machine can build.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxprs_in_params

MOVES = frozenset((
  'broadcast_in_dim', 'concatenate', 'convert_element_type', 'copy',
  'dynamic_slice', 'dynamic_update_slice', 'gather', 'iota', 'name',
  'optimization_barrier', 'pad', 'reshape', 'rev', 'slice', 'split', 'squeeze',
  'stack', 'stop_gradient', 'transpose'))
SCANS = ('cumsum', 'cumprod', 'cummax', 'cummin', 'cumlogsumexp')

Cost = Callable[[Any], int]  # of an equation


def trace(function: Callable[..., Any], *given: Any) -> ClosedJaxpr:
  """The program of a function for arrays, or shapes, as it is given."""
  return jax.make_jaxpr(function)(*given)


def length(program: ClosedJaxpr, trees: bool = False) -> int:
  """Operations on the longest path from any input to any output.

  Args:
    program: as traced.
    trees: whether a reduction of m numbers counts ceil(log2 m), and not one.

  Raises:
    ValueError: it has a loop whose turns are not known when it is traced.
  """
  cost = _tree if trees else _wire
  return max(_depths(program.jaxpr, [0] * len(program.jaxpr.invars), cost))


def operations(program: ClosedJaxpr) -> int:
  """Floating-point operations in all; a product of m x k and k x n has 2 m k n.

  Raises:
    ValueError: it has a loop whose turns are not known when it is traced.
  """
  return _operations(program.jaxpr)


def _depths(jaxpr: Jaxpr, given: Sequence[int], cost: Cost) -> list[int]:
  """How late each output is, from how late each input is."""
  known = dict.fromkeys(jaxpr.constvars, 0) | dict(zip(jaxpr.invars, given))

  def late(atoms: Sequence[Any]) -> list[int]:
    return [0 if isinstance(atom, Literal) else known[atom] for atom in atoms]

  for equation in jaxpr.eqns:
    inputs = late(equation.invars)
    inner = _inner(equation)
    if equation.primitive.name == 'scan':
      outputs = _loop(equation, inner[0], inputs, cost)
    elif inner:
      # Of branches the longest; the first input of a choice is the index.
      inputs = inputs[len(inputs) - len(inner[0].invars):]
      branches = [_depths(body, inputs, cost) for body in inner]
      outputs = list(map(max, zip(*branches)))
    else:
      outputs = [max(inputs, default=0) + cost(equation)
                 ] * len(equation.outvars)
    known.update(zip(equation.outvars, outputs))
  return late(jaxpr.outvars)


def _loop(equation: Any, body: Jaxpr, given: Sequence[int],
          cost: Cost) -> list[int]:
  constants = equation.params['num_consts']
  carried = constants + equation.params['num_carry']
  fixed, carry, rows = (list(given[:constants]), list(given[constants:carried]),
                        list(given[carried:]))
  last = [0] * (len(equation.outvars) - len(carry))
  for _ in range(equation.params['length']):
    outputs = _depths(body, fixed + carry + rows, cost)
    carry, last = (outputs[:len(carry)],
                   list(map(max, last, outputs[len(carry):])))
  return carry + last


def _operations(jaxpr: Jaxpr) -> int:
  total = 0
  for equation in jaxpr.eqns:
    if inner := _inner(equation):
      turns = equation.params.get('length', 1)
      total += turns * max(map(_operations, inner))
    else:
      total += _own(equation)
  return total


def _own(equation: Any) -> int:
  """Operations of an equation that is no call."""
  name = equation.primitive.name
  if name in MOVES:
    return 0
  if name == 'dot_general':
    return 2 * math.prod(_shape(equation.outvars[0])) * _summed(equation)
  reduces = name.startswith(('reduce_', 'arg'))
  return math.prod(_shape((equation.invars if reduces else
                           equation.outvars)[0]))


def _inner(equation: Any) -> list[Jaxpr]:
  """The programs that an equation runs."""
  if equation.primitive.name == 'while':
    raise ValueError('a while loop: its turns are not known beforehand')
  return list(jaxprs_in_params(equation.params))


def _wire(equation: Any) -> int:
  return int(equation.primitive.name not in MOVES)


def _tree(equation: Any) -> int:
  own = _wire(equation)
  levels = math.ceil(math.log2(max(1, _summed(equation))))
  # A product multiplies before it adds.
  return own + levels if equation.primitive.name == 'dot_general' else (
    max(own, levels))


def _summed(equation: Any) -> int:
  """How many numbers each result of a reduction comes from; else 1."""
  name, params = equation.primitive.name, equation.params
  shape = _shape(equation.invars[0]) if equation.invars else ()
  if name == 'dot_general':
    (axes, _), _ = params['dimension_numbers']
  elif name.startswith(('reduce_', 'arg')) and 'axes' in params:
    axes = params['axes']
  elif name in SCANS:
    axes = (params['axis'],)
  else:
    axes = ()
  return math.prod(shape[axis] for axis in axes)


def _shape(atom: Any) -> tuple[int, ...]:
  shape: tuple[int, ...] = atom.aval.shape
  return shape
