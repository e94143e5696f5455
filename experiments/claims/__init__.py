"""One folder for each claim; and experiments in anyone's files.

A claim is a package here, an experiment of one's own a file anywhere. Both set
`EXPERIMENT`; `template.py` is what `fathom init` writes to begin with.
"""

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from experiments.machine import process
from experiments.machine.usage import UsageError, choose
from experiments.runs import digest
from experiments.sweeps.experiment import Experiment

HERE = Path(__file__).parent
# Folders of results that all experiments share.
TAKEN = ('trained', 'together', 'claims', 'probes')


def names() -> list[str]:
  """The claims that ship; their folders have underscores for dashes."""
  return sorted(path.parent.name.replace('_', '-')
                for path in HERE.glob('*/__init__.py'))


def load(name: str) -> Experiment:
  """The experiment of a claim, or of a file whose name ends in .py.

  Raises:
    UsageError: there is none of that name, or the file is not one; the message
      names the file, the line and the fix.
  """
  if not name.endswith('.py'):
    choose('experiment', name.replace('_', '-'), names())
    folder = name.replace('-', '_')
    claim: Experiment = importlib.import_module(
      f'experiments.claims.{folder}').EXPERIMENT
    return claim
  path = Path(name).expanduser().resolve()
  if not path.is_file():
    raise UsageError(f'{name}: no such file; fathom init DIR writes one')
  experiment = getattr(_module(path), 'EXPERIMENT', None)
  if experiment is None:
    raise UsageError(f'{name}: sets no EXPERIMENT; fathom init DIR writes a '
                     'file that does')
  if not isinstance(experiment, Experiment):
    raise UsageError(
      f'{name}: EXPERIMENT is a {type(experiment).__name__}; make it an '
      'experiments.sweeps.experiment.Experiment')
  if (not experiment.name or Path(experiment.name).name != experiment.name
      or experiment.name in (*TAKEN, *names())):
    raise UsageError(f'{name}: EXPERIMENT.name={experiment.name!r} must be the '
                     f'name of a folder, and none of '
                     f'{", ".join((*TAKEN, *names()))}')
  return experiment


def _module(path: Path) -> ModuleType:
  """Runs a file as a module; what stands beside it can be imported."""
  # Last, so that a folder `data` or a file `jax.py` there hides none of ours.
  if str(path.parent) not in sys.path:
    sys.path.append(str(path.parent))
  name = digest.FILE + path.stem
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec
  assert spec.loader
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # where digests look for its functions
  try:
    spec.loader.exec_module(module)
  except SyntaxError as error:
    raise UsageError(f'{error.filename}, line {error.lineno}: {error.msg}'
                     ) from None
  except Exception as error:
    raise UsageError(mistake(error, path) or f'{path}: {error}') from error
  return module


def mistake(error: Exception, path: Path) -> str:
  """An error in a file, or in what stands beside it, as 'file, line: error'.

  '' where the error did not pass through either.
  """
  own = [frame for frame in traceback.extract_tb(error.__traceback__)
         if _beside(Path(frame.filename), path.resolve())]
  return (f'{own[-1].filename}, line {own[-1].lineno}: '
          f'{type(error).__name__}: {error}' if own else '')


def _beside(file: Path, path: Path) -> bool:
  """Whether a file is the other, or stands with it, and is none of ours."""
  ours = [process.ROOT / room for room in process.ROOMS]
  return (file.is_relative_to(path.parent) and
          'site-packages' not in file.parts and
          not any(map(file.is_relative_to, ours)))
