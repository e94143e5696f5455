"""What a device has to send in a training step, from the layout alone.

In bytes on the wire, as `collectives.Collective.wire_bytes` counts them: a ring
of k devices moves (k-1)/k of a value through each of them to gather or to
scatter it, and twice that to reduce it.

* data: the gradients are reduced once.
* fsdp: what is split is gathered, for the forward and again for the backward
  pass, and its gradients are scattered (Rajbhandari et al., 2020, ZeRO-3). Only
  the layers need to be gathered again: the embedding is read in the forward
  pass alone, and the unembedding where it turns into the backward one.
* tensor: each of a layer's two halves gathers the residual stream and scatters
  what it adds to it, and the backward pass does the same the other way round;
  so do the embedding and the logits together (Korthikanti et al., 2022). In
  sum as much as 4 n + 2 reductions of the stream. Parameters that every device
  of the axis holds, but uses for its own positions, have their gradients
  reduced over it too.
* replica: nothing.

Left out: the loss and its weight, and the statistics of a softmax over a split
vocabulary, a few numbers for each position.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax

from train import Config, placement, programs

FLOAT = 4  # bytes of a parameter, a gradient and an activation


def wire_bytes(config: Config, mesh: jax.sharding.Mesh,
               scatters: bool = True) -> float:
  """Bytes that one device sends in one step.

  Args:
    config: complete, float32.
    mesh: as `train.placement.make_mesh` built it.
    scatters: whether the compiler has a reduce-scatter. XLA's for the CPU
      reduces whole values instead, which takes twice as much.
  """
  axes = dict(mesh.shape)
  runs = [config] * axes['replica']
  training = programs.build(programs.shape(config), mesh, True)
  state = jax.eval_shape(training.init, programs.hyper(runs))
  shardings = placement.shardings(state['params'], mesh)
  total = _stream(config, axes, scatters)
  for part, parameters in state['params'].items():
    passes = 2 if part == 'stack' else 1
    for leaf, sharding in zip(jax.tree.leaves(parameters),
                              jax.tree.leaves(shardings[part])):
      total += _parameter(FLOAT * leaf.size, _names(sharding.spec), axes,
                          passes, scatters)
  return total


def _parameter(size: int, split: set[str], axes: Mapping[str, int],
               passes: int, scatters: bool) -> float:
  """Gathers of a parameter, and the reduction of its gradient.

  Args:
    size: bytes of the whole.
    split: the axes over which it is split.
    axes: devices along each.
    passes: for how many it is gathered.
    scatters: see `wire_bytes`.
  """
  parts = axes['fsdp'] if 'fsdp' in split else 1
  whole = size / math.prod(axes[a] for a in split if a != 'fsdp')
  gather = (parts - 1) / parts * whole
  copies = math.prod(axes[a] for a in ('data', 'fsdp', 'tensor')
                     if a not in split)
  reduce = 2 * (copies - 1) / copies * whole / parts
  return passes * gather + (1 if scatters else 2) * gather + reduce


def _stream(config: Config, axes: Mapping[str, int], scatters: bool) -> float:
  """Gathers and scatters of the residual stream over the tensor axis."""
  tensor = axes['tensor']
  batch = config.data.batch_size / (axes['data'] * axes['fsdp'])
  length = programs.source_of(config).length
  size = FLOAT * batch * length * config.model.d_model
  pairs = 4 * config.model.n_layers + 2
  return pairs * (2 if scatters else 3) * (tensor - 1) / tensor * size


def _names(spec: Any) -> set[str]:
  """The mesh axes in a partition."""
  return {name for axes in spec if axes
          for name in (axes if isinstance(axes, tuple) else (axes,))}
