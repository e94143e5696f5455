"""Times that can be compared, though the machine's speed changes meanwhile.

What is compared runs in turn, a chunk of each, over and over, and a ratio is
taken within each turn. Each has a process of its own, with the environment it
is meant to run in, and waits while another computes.
"""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.bench import sizes
from experiments.machine import process
from train import Config

ROUNDS = 5
LEAST_ROUNDS = 3  # of what is slow

Take = Callable[[int], float]  # steps → seconds


class Stepper:
  """Another process that trains (see `stepper`), and waits when it does not."""

  def __init__(self, kind: str, config: Config, environment: Mapping[str, str]):
    """Starts it, and returns once it has compiled and taken a step.

    Args:
      kind: 'ours' or 'plain'.
      config: complete.
      environment: all of it.

    Raises:
      ChildProcessError: it ended.
    """
    self._process = subprocess.Popen(
      process.command(kind, *sizes.arguments(config),
                      module='experiments.bench.stepper'),
      env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    self.loss = 0.0  # of the last step
    self.take(1)

  def take(self, steps: int) -> float:
    """Seconds that it needs for so many steps."""
    answer = self.ask(f'steps {steps}')
    self.loss = answer['loss']
    return float(answer['seconds'])

  def ask(self, request: str) -> dict[str, Any]:
    """What it answers to a line."""
    assert self._process.stdin
    assert self._process.stdout
    self._process.stdin.write(request + '\n')
    self._process.stdin.flush()
    line = self._process.stdout.readline()
    if not line:
      raise ChildProcessError(
        'a process of the benchmark ended with exit code '
        f'{self._process.wait()}: {self._process.args!r}')
    answer: dict[str, Any] = json.loads(line)
    return answer

  def __enter__(self) -> 'Stepper':
    return self

  def __exit__(self, *_: object) -> None:
    self._process.kill()
    self._process.wait()
    for stream in (self._process.stdin, self._process.stdout):
      if stream:
        stream.close()


def environment(tuned: bool = True, virtual: int = 0) -> dict[str, str]:
  """What a stepper starts with.

  Args:
    tuned: with what Fathom's own commands set before they start; a person who
      writes plain JAX has none of it.
    virtual: CPU devices to pretend; 0: the devices that are there.
  """
  variables = {k: v for k, v in os.environ.items()
               if k not in process.ALLOCATOR}
  variables['TF_CPP_MIN_LOG_LEVEL'] = '2'  # XLA's errors, no warnings
  if virtual:
    variables |= process.virtual_devices(virtual)
  if tuned and (virtual or not process.accelerator_installed()):
    variables |= process.ALLOCATOR
  return variables


def measure(takes: Mapping[str, Take],
            least: float) -> dict[str, np.ndarray]:
  """Seconds per step of each contestant in each round.

  Args:
    takes: contestants by name; each has taken a step before.
    least: seconds that each is to be measured for, over all rounds.
  """
  first = {name: take(1) for name, take in takes.items()}
  steps = {name: max(1, round(least / ROUNDS / seconds))
           for name, seconds in first.items()}
  rounds = LEAST_ROUNDS if max(first.values()) > least / ROUNDS else ROUNDS
  names = list(takes)
  times: dict[str, list[float]] = {name: [] for name in names}
  for _ in range(rounds):
    for name in names:
      times[name].append(takes[name](steps[name]) / steps[name])
    names.append(names.pop(0))  # nobody always comes first
  return {name: np.array(seconds) for name, seconds in times.items()}


def ratio(times: Mapping[str, np.ndarray], slower: str, faster: str) -> float:
  """How many times as fast one is as another: the median over rounds."""
  return float(np.median(times[slower] / times[faster]))


def verdict(reached: Sequence[bool]) -> str:
  """Whether an aim was reached, in words."""
  if not reached:
    return 'not measured'
  if all(reached):
    return 'reached'
  missed = f' in {len(reached) - sum(reached)} of {len(reached)}'
  return 'NOT reached' + (missed if len(reached) > 1 else '')
