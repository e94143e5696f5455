"""`fathom aot`: what a training step needs on devices that are not here.

The program that training would run is compiled by the accelerator's own
compiler, on this CPU, for arrays that have shapes and shardings but no values.
"""

import dataclasses
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

import model
from data.batch import Instance, Source
from data.sources.text import TextConfig, TextSource
from experiments.foresight import collectives, roofline, traffic
from experiments.foresight.collectives import Total
from experiments.foresight.roofline import Roofline
from experiments.foresight.topology import Topology, describe
from experiments.machine import accelerators
from model import backend, count
from model.config import ConfigError
from train import placement, programs
from train.config import Config


class DoesNotFit(Exception):
  """A program needs more memory than a device has.

  Attributes:
    needed: bytes, or None where the compiler does not say.
    available: bytes, or None.
  """

  def __init__(self, needed: int | None, available: int | None):
    super().__init__(f'needs {needed}, has {available}')
    self.needed = needed
    self.available = available


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes on one device."""

  arguments: int
  outputs: int
  aliased: int  # outputs that take the place of arguments
  temporaries: int
  code: int

  @property
  def peak(self) -> int:
    """All of it at once."""
    return (self.arguments + self.outputs - self.aliased + self.temporaries
            + self.code)


@dataclasses.dataclass(frozen=True)
class Report:
  """One training step on one topology; numbers are per device and per step.

  Attributes:
    topology: the devices asked for.
    mesh: devices along each axis.
    parameters: of the model.
    tokens: in one step, over all devices.
    memory: what the compiled program holds.
    available: bytes of memory that a program may have.
    flops: of the model, forward and backward.
    memory_bytes: read and written.
    collectives: by kind.
    roofline: how long a step takes at least.
  """

  topology: Topology
  mesh: Mapping[str, int]
  parameters: int
  tokens: int
  memory: Memory
  available: int
  flops: float
  memory_bytes: float
  collectives: Mapping[str, Total]
  roofline: Roofline

  @property
  def used(self) -> int:
    """Devices in the mesh."""
    return math.prod(self.mesh.values())

  @property
  def fits(self) -> bool:
    """Whether a device has the memory."""
    return self.memory.peak <= self.available


class UnreadText(TextSource):
  """Text that nobody has read yet: the shape of a corpus, and no tokens."""

  def __init__(self, config: TextConfig, vocab_size: int, tokens: int):
    """Stands for a corpus of `tokens` ids below `vocab_size`."""
    self.length = config.length
    self.vocab_size = vocab_size
    self.bytes_V = None
    dtype = jnp.uint16 if vocab_size <= 2**16 else jnp.int32
    self._shapes = {split: jax.ShapeDtypeStruct((tokens,), dtype)
                    for split in ('train', 'validation')}

  def instance(self, seed: int) -> Instance:
    """The shape of the token stream of each split."""
    return self._shapes


def report(config: Config, topology: Topology, corpus: int) -> Report:
  """Compiles a config's train step for a topology and reads what came out.

  Args:
    config: one run; it need not be complete.
    topology: see `topology.parse`.
    corpus: tokens of a text that lies on every device; none is read.

  Raises:
    ConfigError: the config cannot be built on these devices.
    topology.Unavailable: the compiler is not installed.
    DoesNotFit: the compiler says that memory is too small.
  """
  source = abstract_source(config, corpus)
  config = dataclasses.replace(config, model=model.complete(
    config.model, vocab_size=source.vocab_size, max_length=source.length))
  config.validate()
  mesh = placement.make_mesh(config.mesh, devices=describe(topology))
  with backend.compiling_for('gpu' if topology.platform == 'cuda' else 'tpu'):
    lowered = lower(config, mesh, source)
    with _memory_errors():
      compiled = lowered.compile()
  return _read(config, source.length, topology, mesh, compiled)


def abstract_source(config: Config, corpus: int) -> Source:
  """A source of batches whose text need not be there.

  Raises:
    ConfigError: the size of the vocabulary is known only from a file.
  """
  text = config.data.source
  if not isinstance(text, TextConfig):
    return text.open()
  sizes = {'bytes': 257, 'bpe': text.vocab_size, 'unigram': text.vocab_size}
  vocab_size = config.model.vocab_size or sizes.get(text.tokenizer)
  if not vocab_size:
    raise ConfigError(f'model.vocab_size: 0, and {text.tokenizer!r} is not '
                      'read ahead of time; set it')
  return UnreadText(text, vocab_size, corpus)


def lower(config: Config, mesh: Mesh, source: Any) -> jax.stages.Lowered:
  """Traces the chunk of steps that training runs, for arrays without values.

  Args:
    config: complete.
    mesh: its devices need not be here.
    source: a `data.batch.Source`; its instance may be shapes alone.
  """
  training = programs.build(programs.shape(config), mesh, True, source)
  hyper = _abstract(programs.hyper([config]))
  state = jax.eval_shape(training.init, hyper)
  whole = placement.replicated(mesh)
  layout = {**placement.shardings(state, mesh), 'step': whole}
  return training.chunk.lower(
    _abstract(state, layout), jax.ShapeDtypeStruct((), jnp.int32,
                                                   sharding=whole),
    _abstract(hyper, placement.shardings(hyper, mesh)),
    jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype,
                                                sharding=whole),
                 source.instance(config.data.seed)))


def available_memory(topology: Topology) -> int:
  """Bytes of a device that a program may have; JAX leaves a share of a GPU."""
  accelerator = accelerators.find(topology.kind)
  assert accelerator, topology.kind
  if topology.platform == 'tpu':
    return accelerator.memory_bytes
  share = os.environ.get('XLA_PYTHON_CLIENT_MEM_FRACTION', '0.75')
  return round(float(share) * accelerator.memory_bytes)


def advice(config: Config, topology: Topology) -> list[str]:
  """What to change when a step does not fit, the cheapest first."""
  changes = []
  if topology.platform == 'cuda' and (
      'XLA_PYTHON_CLIENT_MEM_FRACTION' not in os.environ):
    changes.append('XLA_PYTHON_CLIENT_MEM_FRACTION=0.92')
  if config.model.dtype == 'float32':
    changes.append('--config.model.dtype=bfloat16')
  if config.mesh.fsdp == 1 and topology.devices > 1:
    changes.append('--config.mesh.fsdp=-1 --config.mesh.data=1')
  # Twice the microbatches, if every device still has an example of each.
  more = 2 * config.train.microbatches
  if config.data.batch_size % (more * topology.devices) == 0:
    changes.append(f'--config.train.microbatches={more}')
  if config.model.remat != 'full':
    changes.append('--config.model.remat='
                 + {'none': 'dots', 'dots': 'full'}[config.model.remat])
  if config.data.batch_size > topology.devices:
    changes.append(f'--config.data.batch_size={config.data.batch_size // 2}')
  changes.append(f'more devices than {topology.devices}')
  return changes


@contextmanager
def _memory_errors() -> Iterator[None]:
  """Turns the compiler's word for too little memory into DoesNotFit."""
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if (sizes := out_of_memory(str(error))) is None:
      raise
    raise DoesNotFit(*sizes) from error


def out_of_memory(message: str) -> tuple[int | None, int | None] | None:
  """(needed, available) in bytes from a compiler's message; None if not it."""
  if 'RESOURCE_EXHAUSTED' not in message and 'out of memory' not in message:
    return None
  size = r'([\d.]+)([KMGT]?)'
  # Before and after the compiler has assigned the memory.
  numbers = (re.search(rf'\({size}\) exceeds available HBM \({size}\)', message)
             or re.search(rf'Used {size} of {size} hbm', message))
  if not numbers:
    return None, None
  return _bytes(numbers[1], numbers[2]), _bytes(numbers[3], numbers[4])


def _bytes(number: str, unit: str) -> int:
  return round(float(number) * 1024 ** ' KMGT'.index(unit or ' '))


def _read(config: Config, length: int, topology: Topology, mesh: Mesh,
          compiled: jax.stages.Compiled) -> Report:
  steps = config.train.chunk_steps
  text, sizes = compiled.as_text(), compiled.memory_analysis()
  assert text, 'the compiler does not print its program'
  assert sizes, 'the compiler does not say what memory its program takes'
  # The chunk's loop takes its length as an input; the rest runs once a chunk.
  totals = collectives.totals(collectives.read(text, steps), steps)
  memory_bytes = traffic.main_memory_bytes(text, steps) / steps
  flops = config.data.batch_size * count.train_flops(
    config.model, length) / mesh.size
  accelerator = accelerators.find(topology.kind)
  assert accelerator, topology.kind
  return Report(
    topology=topology, mesh=dict(mesh.shape),
    parameters=count.parameters(config.model).total,
    tokens=config.data.batch_size * length,
    memory=Memory(
      sizes.argument_size_in_bytes, sizes.output_size_in_bytes,
      sizes.alias_size_in_bytes, sizes.temp_size_in_bytes,
      sizes.generated_code_size_in_bytes),
    available=available_memory(topology), flops=flops,
    memory_bytes=memory_bytes, collectives=totals,
    roofline=roofline.estimate(
      accelerator, config.model.dtype, flops, memory_bytes,
      sum(total.wire_bytes for total in totals.values())))


def _abstract(tree: Any, shardings: Any = None) -> Any:
  """Shapes and types in place of arrays."""
  if shardings is None:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree,
    shardings)
