"""`--config.path=value` among other arguments.

Apart from what reads them, since that needs the configs, and with them JAX: a
typo is to be told at once.
"""

from collections.abc import Iterable

from experiments.machine.usage import UsageError

PREFIX = '--config.'


def split(args: Iterable[str]) -> tuple[dict[str, str], list[str]]:
  """Separates `--config.path=value` arguments from the rest.

  Returns:
    ({path: text}, the other arguments).
  """
  overrides: dict[str, str] = {}
  rest: list[str] = []
  pending = ''
  for arg in args:
    if pending:
      overrides[pending], pending = arg, ''
    elif arg.startswith(PREFIX):
      path, equals, text = arg.removeprefix(PREFIX).partition('=')
      if equals:
        overrides[path] = text
      else:
        pending = path
    else:
      rest.append(arg)
  if pending:
    raise UsageError(f'{PREFIX}{pending} has no value; write '
                     f'{PREFIX}{pending}=VALUE')
  return overrides, rest
