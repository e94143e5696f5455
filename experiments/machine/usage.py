"""How a command ends, and what is wrong with what was asked for."""

import difflib
from collections.abc import Sequence

# Exit codes; anything else that goes wrong is 1.
FAILED = 1
USAGE = 2  # bad config or usage
DEVICE = 3  # wrong or missing device
DIVERGED = 4
PREEMPTED = 75  # told to stop and saved: sysexits' "try again" (EX_TEMPFAIL)
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class UsageError(Exception):
  """The command line or a config value is wrong; the message says the fix."""


class DeviceError(Exception):
  """The platform that was asked for, or its compiler, is not there."""


def choose(kind: str, name: str, choices: Sequence[str]) -> None:
  """Raises UsageError, with the nearest match, for a name that is not one."""
  if name not in choices:
    raise UsageError(f'{kind} {name!r}: use one of {", ".join(choices)}'
                     f'{nearest(name, choices)}')


def nearest(name: str, choices: Sequence[str]) -> str:
  """' (did you mean …?)', or '' where nothing comes near."""
  near = difflib.get_close_matches(name, choices, n=1, cutoff=0.4)
  return f' (did you mean {near[0]}?)' if near else ''
