"""Train one run of a named config, with checkpoints.

The same command goes on where an earlier one was stopped, on whatever devices
and however many processes there are now. A run is known by what it computes:
its folder is RUNS/trained/ID, which `fathom sweep` shares.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.commands import cluster
from experiments.commands.parser import add_config, add_runs
from experiments.machine import usage
from experiments.machine.usage import UsageError

if TYPE_CHECKING:
  from experiments.runs.executor import Telling
  from experiments.sweeps.plan import Plan
  from experiments.sweeps.task import Train
  from train.config import Config


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  parser.add_argument('config', nargs='?', default='', metavar='CONFIG',
                      help='what to train (fathom list)')
  parser.add_argument(
    '--start', metavar='PATH',
    help='a pretrained model to go on from (fathom import): its architecture '
    "and tokenizer take the place of the config's; data and rates stay the "
    "config's, and are high for it (--config.train.learning_rate=1e-5)")
  add_runs(parser)
  parser.add_argument(
    '--profile', type=_span, metavar='FIRST:LAST',
    help="trace these steps into the run's folder, as 10:15")
  cluster.fill(parser)
  add_config(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Trains, or finds that it is done; the exit code."""
  from experiments.runs import store
  from experiments.sweeps import configs, parent
  from experiments.sweeps.task import Pretrained, Train
  base, texts = configs.named(options.config), options.texts
  if options.start == '':  # such as a variable that is not set
    raise UsageError('--start= names nothing; give the path of a model, or '
                     'leave the flag out')
  if options.start:
    base = parent.adopted(base, options.start)
    texts = parent.tokens(base, texts, options.start)
  config = configs.resolve(base, texts)
  task = Train(config, Pretrained(options.start) if options.start else None)
  parent.check(task)
  mine = cluster.detect(options)
  code = cluster.enter(
    options, cluster.environment(options, config.mesh.platform))
  if code is not None:
    return code
  store.check_layout(options.runs, 'train')
  return _train(options, task, mine)


def _train(options: argparse.Namespace, task: Train, mine: Any) -> int:
  import jax

  from experiments.commands import execution, listing
  from experiments.runs.store import Store
  from experiments.sweeps.identity import run_id
  plan, config = single(options.config, task, options.runs), task.config
  run, store = run_id(task), Store(options.runs)
  known = store.result(run) is not None
  if not known and (mine is None or mine.process <= 0):
    with store.lease([run]) as free:
      if not free:
        print('Another process trains this run: waiting for it.', flush=True)
    for sentence in listing.texts(plan):
      print(sentence, flush=True)
    print(_outline(task, plan.folder), flush=True)
  code = execution.work(plan, lambda: _audience(options.config, config), mine,
                        options.profile)
  if mine and jax.process_index() > 0:
    return code
  result = store.result(run)
  if result is None:
    return code
  if known:
    print('Done already.')
  if result['status'] == 'diverged':
    reason = result.get('message', 'its held-out loss is not finite')
    print(f'fathom: run {run}: {reason}', file=sys.stderr)
    return usage.DIVERGED
  print(_summary(plan, config, result))
  return code


def single(name: str, task: Train, runs: Any) -> Plan:
  """The plan of one run, in the run's own folder."""
  from experiments.runs.store import Store
  from experiments.sweeps.algebra import Cell
  from experiments.sweeps.experiment import Experiment, Part
  from experiments.sweeps.identity import run_id
  from experiments.sweeps.plan import Plan
  cells = (Cell('run', name, task),)
  part = Part('run', lambda preset, pins: cells)
  experiment = Experiment(name, name, (part,), presets=(name,))
  return Plan(experiment, name, (part,), {'run': {}}, cells, runs,
              Store(runs).run(run_id(task)))


@contextlib.contextmanager
def _audience(name: str, config: Config) -> Iterator[Telling]:
  """A person who looks at one run."""
  import jax

  from experiments.runs.display import Display
  from experiments.runs.executor import Telling
  from experiments.runs.progress import RunProgress
  first = jax.process_index() == 0
  with Display(name, visible=first) as display:
    progress = (RunProgress(display, peak_flops(config)) if first
                else lambda _: None)
    yield Telling(progress, display.say)


@functools.cache
def peak_flops(config: Config) -> float:
  """FLOP/s that a run could reach at best: in a table, or measured here."""
  import jax

  from experiments.machine import accelerators
  from train import placement
  devices = placement.make_mesh(config.mesh).devices
  peak = accelerators.peak_flops(devices.flat[0], config.model.dtype)
  if peak is not None:
    return peak * devices.size
  # A process's virtual devices share its cores.
  return (accelerators.measured_flops(dtype=config.model.dtype)
          * jax.process_count())


def _outline(task: Train, folder: Path) -> str:
  """What is going to be trained."""
  from experiments.sweeps import cost
  from experiments.sweeps.task import Pretrained
  from train import loop
  config = task.config
  start = f' from {task.start.path}' if isinstance(
    task.start, Pretrained) else ''
  return (f'{cost.parameters(config.model):,} parameters{start}; '
          f'{config.train.steps:,} steps of {loop.tokens(config):,} tokens, '
          f'learning rate up to {config.train.learning_rate:g}.\n'
          f'Run: {folder}')


def _summary(plan: Plan, config: Config, result: Mapping[str, Any]) -> str:
  import jax
  import numpy as np
  timing, scores = result['timing'], result['scores']
  means = {name: float(np.mean(values)) for name, values in scores.items()}
  seconds = ', '.join(f'{part.replace("_", " ")} {spent:.1f}'
                      for part, spent in timing['seconds'].items())
  text = (f', {means["bits_per_byte"]:.4f} bits/byte'
          if 'bits_per_byte' in means else '')
  here = timing['device'] == jax.devices()[0].device_kind
  mfu = (f', MFU {timing["flops_per_second"] / peak_flops(config):.1%}' if here
         else f' on {timing["device"]}')
  return (f'Held-out loss {means["loss"]:.4f} nats{text}; '
          f'{timing["tokens_per_second"]:,.0f} tokens/s{mfu}, goodput '
          f'{timing["goodput"]:.0%}.\n'
          f'Seconds: {seconds}; {timing["restarts"]} restarts.\n'
          f'Run: {plan.folder}')


def _span(text: str) -> tuple[int, int]:
  """'10:15' → (10, 15)."""
  first, _, last = text.partition(':')
  if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
    raise UsageError(f'--profile={text}: write FIRST:LAST, for instance 10:15')
  return int(first), int(last)
