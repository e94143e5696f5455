"""Pointer chasing shows a cycle, asks for k links and has no shortcut."""

import functools

import jax
import numpy as np
import pytest

import data
from data.sources.pointer_chasing import PointerChasingConfig

HOPS = (1, 2, 3, 4)


def open_source(reasoning='direct', symbols=9, hops=HOPS):
  return PointerChasingConfig(
    symbols=symbols, hops=hops, reasoning=reasoning).open()


@functools.cache
def drawn(reasoning='direct'):
  """A source and 2000 of its examples; compiling a draw is what takes time."""
  source = open_source(reasoning)
  batch = jax.jit(lambda: source.batch({}, 0, 'train', 0, 2000))()
  return source, jax.tree.map(np.asarray, batch)


def cycles(source, batch):
  """Reads pi of every example off its edge tokens, (B, v)."""
  v = source.symbols
  start_BV, end_BV = np.divmod(np.asarray(batch.tokens_BT)[:, :v], v)
  pi_BV = np.full_like(start_BV, -1)
  np.put_along_axis(pi_BV, start_BV, end_BV, axis=1)
  return pi_BV


def queries(source, batch):
  """Reads (x, k) of every example off its query token."""
  query_B = np.asarray(batch.tokens_BT)[:, source.query_position]
  x_B, index_B = np.divmod(query_B - source.first_query, len(source.hops))
  return x_B, np.array(source.hops)[index_B]


def power(pi_BV, k, x_B):
  for _ in range(k):
    x_B = pi_BV[np.arange(len(x_B)), x_B]
  return x_B


def test_every_example_shows_one_whole_cycle():
  source, batch = drawn()
  pi_BV = cycles(source, batch)
  for pi_V in pi_BV:
    seen = {0}
    x = pi_V[0]
    while x not in seen:
      seen.add(x)
      x = pi_V[x]
    assert x == 0
    assert len(seen) == source.symbols


def test_the_answer_is_k_links_away_and_scored_once():
  source, batch = drawn()
  pi_BV = cycles(source, batch)
  x_B, k_B = queries(source, batch)
  np.testing.assert_array_equal(k_B, np.array(HOPS)[batch.group_B])
  assert set(k_B) == set(HOPS)
  answer_B = np.asarray(source.answers(batch)) - source.first_symbol
  for i, (x, k) in enumerate(zip(x_B, k_B)):
    assert answer_B[i] == power(pi_BV[i:i + 1], k, np.array([x]))[0]
  weights_T = np.zeros(source.length)
  weights_T[source.query_position] = 1
  np.testing.assert_array_equal(
    batch.weights_BT, np.broadcast_to(weights_T, batch.weights_BT.shape))


def test_neither_edge_order_nor_query_nor_answer_is_favoured():
  source, batch = drawn()
  starts_BV = np.asarray(batch.tokens_BT)[:, :source.symbols] // source.symbols
  x_B, _ = queries(source, batch)
  first_is_x = np.mean(starts_BV[:, 0] == x_B)
  answer_B = np.asarray(source.answers(batch)) - source.first_symbol
  # Five standard errors of a share of 1/9 in 2000.
  tolerance = 5 * np.sqrt(1 / 9 * 8 / 9 / 2000)
  assert abs(first_is_x - 1 / 9) < tolerance
  for symbol_B in (x_B, answer_B):
    share_V = np.bincount(symbol_B, minlength=source.symbols) / 2000
    assert np.abs(share_V - 1 / 9).max() < tolerance


def test_five_symbols_make_four_links_one_link_back():
  path = np.random.default_rng(0).permutation(5)
  pi_BV = np.zeros((1, 5), int)
  pi_BV[0, path] = np.roll(path, -1)
  x_B = np.arange(5)
  four = [power(pi_BV, 4, x_B[i:i + 1])[0] for i in x_B]
  np.testing.assert_array_equal(four, np.argsort(pi_BV[0]))


@pytest.mark.parametrize('k', [2, 3, 4])
def test_one_link_either_way_is_no_better_than_chance(k):
  source, batch = drawn()
  asked_B = queries(source, batch)[1] == k
  batch = jax.tree.map(lambda x: x[asked_B], batch)
  pi_BV = cycles(source, batch)
  x_B, _ = queries(source, batch)
  answer_B = np.asarray(source.answers(batch)) - source.first_symbol
  forward_B = power(pi_BV, 1, x_B)
  back_B = np.argsort(pi_BV, axis=1)[np.arange(len(x_B)), x_B]
  for guess_B in (forward_B, back_B, x_B):
    assert np.mean(guess_B == answer_B) <= source.chance


@pytest.mark.parametrize('symbols', [0, 5, 8])
def test_a_shortcut_is_refused_with_the_way_out(symbols):
  with pytest.raises(data.InputError, match=r'source\.symbols.*at least 9'):
    open_source(symbols=symbols)


def test_link_counts_are_checked():
  with pytest.raises(data.InputError, match=r'source\.hops.*at least 1'):
    open_source(hops=(0, 1))
  with pytest.raises(data.InputError, match=r'source\.hops.*\(1, 2\)'):
    open_source(hops=(2, 1, 2))
  with pytest.raises(data.InputError, match=r'source\.hops'):
    open_source(hops=())


def test_a_chain_of_thought_asks_for_every_hop_up_to_k():
  source, batch = drawn('chain_of_thought')
  assert source.length == 9 + 4
  pi_BV = cycles(source, batch)
  x_B, k_B = queries(source, batch)
  np.testing.assert_array_equal(batch.weights_BT.sum(axis=1), k_B)
  tokens_BT, targets_BT = np.asarray(batch.tokens_BT), batch.targets_BT
  for j in range(4):
    position = source.query_position + j
    hop_B = power(pi_BV, j, x_B) + source.first_symbol
    next_B = power(pi_BV, j + 1, x_B) + source.first_symbol
    scored_B = j < k_B
    np.testing.assert_array_equal(batch.weights_BT[:, position], scored_B)
    np.testing.assert_array_equal(
      targets_BT[:, position][scored_B], next_B[scored_B])
    if j:
      np.testing.assert_array_equal(
        tokens_BT[:, position], np.where(scored_B, hop_B, source.blank))
  answer_B = [power(pi_BV[i:i + 1], k, x_B[i:i + 1])[0]
              for i, k in enumerate(k_B)]
  np.testing.assert_array_equal(
    source.answers(batch), np.array(answer_B) + source.first_symbol)


@pytest.mark.parametrize('skill', [1., 0.])
def test_free_running_reads_only_what_was_emitted(skill):
  """A solver that follows one link is right; one that is stuck is not."""
  source, batch = drawn('chain_of_thought')
  pi_BV = cycles(source, batch)
  x_B, _ = queries(source, batch)
  tokens_BT = source.prompt(batch.tokens_BT)
  after_BT = np.asarray(tokens_BT)[:, source.query_position + 1:]
  assert (after_BT == source.blank).all()
  emitted = []
  for position in range(source.query_position, source.length):
    read_B = np.asarray(tokens_BT)[:, position] - source.first_symbol
    if position == source.query_position:
      read_B = x_B
    next_B = power(pi_BV, 1, read_B) if skill else read_B
    emitted.append(next_B + source.first_symbol)
    tokens_BT = source.emit(tokens_BT, position, emitted[-1])
  last_B = np.array(source.answer_positions)[batch.group_B]
  given_B = np.stack(emitted, axis=1)[
    np.arange(len(x_B)), last_B - source.query_position]
  assert np.mean(given_B == np.asarray(source.answers(batch))) == skill
  if skill:  # what it wrote is what teacher forcing would have shown
    shown_BT = np.asarray(batch.tokens_BT)
    is_hop_BT = shown_BT >= source.first_symbol
    is_hop_BT &= shown_BT != source.blank
    np.testing.assert_array_equal(
      np.asarray(tokens_BT)[is_hop_BT], shown_BT[is_hop_BT])


def test_all_queries_ask_each_symbol_for_the_same_links():
  source = PointerChasingConfig(symbols=9, hops=HOPS, queries='all').open()
  batch = jax.tree.map(np.asarray, jax.jit(
    lambda: source.batch({}, 0, 'train', 0, 50))())
  v = source.symbols
  assert batch.tokens_BT.shape[1] == source.length == 2 * v
  pi_BV = cycles(source, batch)
  x_BV, index_BV = np.divmod(batch.tokens_BT[:, v:] - source.first_query,
                             len(HOPS))
  assert (x_BV == np.arange(v)).all()
  assert (index_BV == batch.group_B[:, None]).all()
  for s in range(v):
    for k in HOPS:
      asked = batch.group_B == HOPS.index(k)
      answer_B = power(pi_BV[asked], k, np.full(asked.sum(), s))
      np.testing.assert_array_equal(
        batch.targets_BT[asked, v + s], source.first_symbol + answer_B)
  np.testing.assert_array_equal(batch.weights_BT[:, :v], 0)
  np.testing.assert_array_equal(batch.weights_BT[:, v:], 1)
