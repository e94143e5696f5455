"""How long training takes on an accelerator that is not here, uncompiled.

A guess for plans. `prediction` compiles one program and knows it better; a plan
has dozens. Small models neither fill the matrix unit nor outlast the launch of
their kernels, so both are assumed, and said.
"""

from collections.abc import Sequence

from experiments.machine.accelerators import Accelerator
from model import count
from train import programs
from train.config import Config

# Of the peak. Models of 1e8 parameters reach 25 to 40 % (nanoGPT and llm.c on
# A100 and H100, their authors' figures); here widths are 128 to 512.
UTILISATION = 0.1
# Seconds for each layer of a step, and for what is around them: about 60
# kernels of 4 microseconds, however little they do.
LAYER_SECONDS = 2.5e-4


def seconds(configs: Sequence[Config], accelerator: Accelerator) -> float:
  """Seconds in which runs of one shape train side by side on one device.

  Args:
    configs: complete; equal but for their traced fields.
    accelerator: what they train on, alone.
  """
  config = configs[0]
  flops = len(configs) * config.data.batch_size * count.train_flops(
    config.model, programs.source_of(config).length)
  peak = getattr(accelerator, config.model.dtype)
  return config.train.steps * max(
    flops / (UTILISATION * peak), LAYER_SECONDS * (config.model.n_layers + 1))


def assumption(accelerator: Accelerator) -> str:
  """What `seconds` rests on, for people."""
  return (f'{UTILISATION:.0%} of the {accelerator.bfloat16 / 1e12:.0f} '
          'TFLOP/s that it does in bfloat16 '
          f'({accelerator.float32 / 1e12:.0f} in float32), and '
          f'{1e3 * LAYER_SECONDS:.2g} ms at least for each layer of a step')
