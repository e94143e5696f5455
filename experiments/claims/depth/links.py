"""How well a run follows links, and what that has to be held against."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import model
from data.batch import Instance, Source
from data.sources.hop_string import HopString
from data.sources.pointer_chasing import PointerChasing
from experiments.runs.subject import Row, Subject
from experiments.sweeps import cost
from model import ModelConfig

SOLVED = 0.9  # held-out accuracy, at two evaluations in a row
EARLY = 1.2e11  # FLOPs: two layers have solved two links by then
EXAMPLES = 2048  # for what is measured beside the held-out accuracy


def measure(run: Subject) -> list[Row]:
  """Held-out accuracy by link count, at the end and on the way there.

  Rows, all by `hops`:
    accuracy: at the end; of chain of thought that of what it wrote freely; and
      with `step` that of every evaluation.
    early_accuracy: at the evaluation nearest to `EARLY` FLOPs; of chain of
      thought at the end.
    solved: 1 where two evaluations in a row reached `SOLVED`, else 0; of chain
      of thought where the end did.
    shortcut_accuracy: the better of one link on and one link back.
    initial_accuracy, chance_accuracy: untrained, and of a guess; of all links.
  """
  source, accuracy = run.source, run.scores['accuracy']
  assert isinstance(source, (PointerChasing, HopString))
  rows = [Row('loss', float(v), {'hops': k})
          for k, v in zip(source.hops, run.scores['loss'])]
  if isinstance(source, PointerChasing) and source.chain_of_thought:
    # On the way it is scored on true hops, which is not what is asked.
    accuracy = early = generated_accuracy(run)
    solved = np.asarray(accuracy >= SOLVED)
  else:
    at, curve = run.curve['step'], run.curve['accuracy']
    rows += [Row('accuracy', float(a), {'hops': k, 'step': int(step)})
             for step, values in zip(at, curve)
             for k, a in zip(source.hops, values)]
    spent = cost.train_flops(run.config) * at / at[-1]
    early = curve[np.argmin(np.abs(spent - EARLY))]
    able = np.asarray(curve >= SOLVED)
    solved = np.any(able[:-1] & able[1:], axis=0)
  for metric, values in (('accuracy', accuracy), ('early_accuracy', early),
                         ('solved', solved)):
    rows += [Row(metric, float(v), {'hops': k})
             for k, v in zip(source.hops, values)]
  if isinstance(source, PointerChasing):
    rows += [Row('shortcut_accuracy', s, {'hops': k})
             for k, s in zip(source.hops, shortcut_accuracy(run))]
    rows += [Row('chance_accuracy', source.chance),
             Row('initial_accuracy', initial_accuracy(run))]
  return rows


def generated_accuracy(run: Subject) -> np.ndarray:
  """Accuracy of the last hop when the model reads only what it wrote, (k,)."""
  assert isinstance(run.source, PointerChasing)
  return np.asarray(_generated_accuracy(
    run.config.model, run.source, run.params, run.instance))


# Jitted once for all runs of a shape: the model and the source are static.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _generated_accuracy(config: ModelConfig, source: PointerChasing,
                        params: dict, instance: Instance) -> jax.Array:
  batch = source.batch(instance, 0, 'validation', 0, EXAMPLES)

  def say(tokens_BT: jax.Array, position: jax.Array
          ) -> tuple[jax.Array, jax.Array]:
    logits_BTV = model.apply(config, params, tokens_BT).logits_BTV
    emitted_B = logits_BTV[:, position].argmax(-1)
    return source.emit(tokens_BT, position, emitted_B), emitted_B

  _, said_TB = jax.lax.scan(
    say, source.prompt(batch.tokens_BT),
    jnp.arange(source.query_position, source.length))
  hop_B = jnp.asarray(source.hops)[batch.group_B]
  answer_B = said_TB[hop_B - 1, jnp.arange(EXAMPLES)]
  return _by_group(answer_B == source.answers(batch), batch.group_B,
                   len(source.hops))


def initial_accuracy(run: Subject) -> float:
  """Accuracy of the untrained network: what the architecture gives away."""
  return float(_accuracy(run.config.model, run.source, run.initial,
                         run.instance))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _accuracy(config: ModelConfig, source: Source, params: dict,
              instance: Instance) -> jax.Array:
  batch = source.batch(instance, 0, 'validation', 0, EXAMPLES)
  logits_BTV = model.apply(config, params, batch.tokens_BT).logits_BTV
  hits_BT = (logits_BTV.argmax(-1) == batch.targets_BT) * batch.weights_BT
  return hits_BT.sum() / batch.weights_BT.sum()


def shortcut_accuracy(run: Subject) -> list[float]:
  """The better of "one link on" and "one link back", for each k."""
  source = run.source
  assert isinstance(source, PointerChasing)
  batch = jax.tree.map(np.asarray, run.held_out(EXAMPLES))
  v, hops = source.symbols, len(source.hops)
  tails_BT, heads_BT = np.divmod(batch.tokens_BT[:, :v], v)
  asked_B = (batch.tokens_BT[:, source.query_position] - source.first_query
             ) // hops
  forward_B = heads_BT[tails_BT == asked_B[:, None]]
  backward_B = tails_BT[heads_BT == asked_B[:, None]]
  answer_B = np.asarray(source.answers(batch)) - source.first_symbol
  return [max(float(np.mean(guess_B[asked] == answer_B[asked]))
              for guess_B in (forward_B, backward_B))
          for asked in (batch.group_B == k for k in range(hops))]


def _by_group(hits_B: jax.Array, group_B: jax.Array, groups: int) -> jax.Array:
  total = jax.ops.segment_sum(hits_B.astype(jnp.float32), group_B, groups)
  return total / jax.ops.segment_sum(jnp.ones_like(total[group_B]), group_B,
                                     groups)
