"""The length of a traced program, against programs counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from experiments.instruments import path


def shape(*sizes):
  return jax.ShapeDtypeStruct(sizes, jnp.float32)


def lengths(function, *given):
  traced = path.trace(function, *given)
  return path.length(traced), path.length(traced, trees=True)


def test_operations_wait_for_each_other_or_run_side_by_side():
  assert lengths(lambda x: (x + 1) * 2 - 3, shape(4)) == (3, 3)
  assert lengths(lambda x: (jnp.exp(jnp.sin(x)), x * 2), shape(4)) == (2, 2)
  assert lengths(lambda x: x.T.reshape(-1)[1:3], shape(2, 3)) == (0, 0)


def test_a_sum_is_one_step_or_a_tree():
  assert lengths(jnp.sum, shape(1024)) == (1, 10)
  assert lengths(jnp.max, shape(1000)) == (1, 10)
  assert lengths(lambda x: x.sum(0), shape(8, 1024)) == (1, 3)
  # One multiplication, then three levels of additions.
  assert lengths(jnp.matmul, shape(5, 8), shape(8, 7)) == (1, 4)
  assert lengths(jnp.cumsum, shape(16)) == (1, 4)


def test_a_loop_counts_its_body_once_a_turn():
  def loop(x_T):
    return jax.lax.scan(lambda h, x: (jnp.tanh(h + x), h), 0.0, x_T)

  assert lengths(loop, shape(16)) == (32, 32)
  assert path.operations(path.trace(loop, shape(16))) == 32


def test_what_a_turn_does_without_the_carry_does_not_wait():
  def loop(x_T):
    # Three operations on the input, one on the carry.
    return jax.lax.scan(lambda h, x: (h + jnp.exp(jnp.sin(x * 2)), None),
                        0.0, x_T)[0]

  assert lengths(loop, shape(16))[0] == 3 + 16


def test_calls_and_branches_are_entered():
  inner = jax.jit(lambda x: jnp.exp(x) * 2)
  assert lengths(lambda x: inner(x) + 1, shape(4))[0] == 3

  def either(x, chosen):
    return jax.lax.cond(chosen, jnp.sin, lambda x: jnp.exp(jnp.sin(x) + 1), x)

  # Three and what turns the choice into an index are what may be waited for.
  short = lengths(lambda x, chosen: jax.lax.cond(
    chosen, jnp.sin, jnp.cos, x), shape(4), True)[0]
  assert lengths(either, shape(4), True)[0] == short + 2


def test_operations_of_products_and_reductions():
  def count(function, *given):
    return path.operations(path.trace(function, *given))

  assert count(jnp.matmul, shape(5, 8), shape(8, 7)) == 2 * 5 * 8 * 7
  assert count(lambda x: jnp.sum(x * 2), shape(3, 4)) == 24
  assert count(jnp.transpose, shape(3, 4)) == 0


def test_a_loop_of_unknown_length_is_refused():
  def until(x):
    return jax.lax.while_loop(lambda x: x < 9, lambda x: x + 1, x)

  for count in (path.length, path.operations):
    with pytest.raises(ValueError, match='turns are not known'):
      count(path.trace(until, 0.0))
