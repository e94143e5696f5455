"""Several processes of one command on this machine, as if on several hosts.

This process touches no device. It gives each child its place, passes on what
the children say, and sees to it that all of them end together.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from experiments.machine import process, usage

# What the others get to say who is gone, before they are ended.
GRACE_SECONDS = 15.0
POLL_SECONDS = 0.1


def launch(arguments: Sequence[str], processes: int,
           environment: Mapping[str, str]) -> int:
  """Runs a command as `processes` processes; returns one exit code for all.

  Args:
    arguments: of `fathom`; what asked for this is taken back.
    processes: how many to start.
    environment: of every child.
  """
  port = free_port()
  children = [subprocess.Popen(
    process.command(
      *arguments, '--local-processes=0', f'--coordinator=127.0.0.1:{port}',
      f'--processes={processes}', f'--process={i}', f'--parent={os.getpid()}'),
    env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT, text=True, errors='replace',
    # Ctrl-C comes to this process alone, which passes it on.
    start_new_session=True) for i in range(processes)]
  relays = [threading.Thread(target=_relay, args=(i, child.stdout), daemon=True)
            for i, child in enumerate(children)]
  for relay in relays:
    relay.start()

  def stop(*_: Any) -> None:
    for child in children:
      child.send_signal(signal.SIGTERM)

  before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
  try:
    code = _wait(children)
  finally:
    for child in children:
      if child.poll() is None:
        child.kill()
      child.wait()
    for number, handler in before.items():
      signal.signal(number, handler)
  for relay in relays:
    relay.join(timeout=5)
  return code


def _wait(children: Sequence[subprocess.Popen[str]]) -> int:
  """Waits for all; once one fails, the others have little time left."""
  failed: int | None = None
  deadline = float('inf')
  while any(c.poll() is None for c in children):
    if failed is None:
      bad = [i for i, c in enumerate(children)
             if c.poll() not in (None, 0, usage.PREEMPTED)]
      if bad:
        failed = bad[0]
        deadline = time.monotonic() + GRACE_SECONDS
        print(f'fathom: process {failed} (pid {children[failed].pid}) '
              f'{_ending(children[failed])}; ending the others',
              file=sys.stderr, flush=True)
    if time.monotonic() > deadline:
      for child in children:
        if child.poll() is None:
          child.kill()
    time.sleep(POLL_SECONDS)
  codes = [c.returncode for c in children]
  if failed is not None:
    return max(codes[failed], usage.FAILED)  # a signal has a negative code
  if min(codes) < 0:
    return usage.FAILED
  return next((c for c in codes if c), 0)


def _ending(child: subprocess.Popen[str]) -> str:
  code = child.returncode
  return (f'was ended by {signal.Signals(-code).name}' if code < 0
          else f'ended with exit code {code}')


def _relay(process: int, stream: IO[str] | None) -> None:
  """Passes a child's lines on; those of process 0 as they are."""
  for line in stream or ():
    if line.startswith('[Gloo] Rank'):
      continue  # a library's greeting, once for every pair
    sys.stdout.write(line if process == 0 else f'[{process}] {line}')
    sys.stdout.flush()


def free_port() -> int:
  """A port of this machine that nobody listens on now."""
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]
