"""Write a model as a folder that transformers loads, with the same logits.

MODEL is a run's folder (RUNS/trained/ID) or its id, a folder that `fathom
import` wrote, a Hugging Face folder, or a .gguf file. The format is that of
Llama, GPT-2 or GPT-NeoX, whichever can say what the model computes; where none
can, the fields that prevent it are named. Multipliers and shared layers are
written out; nothing is approximated.
"""

import argparse

from experiments.commands.parser import add_runs, one_of, path
from experiments.machine.usage import UsageError

FORMATS = ('hf',)


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  parser.add_argument('model', nargs='?', default='', metavar='MODEL',
                      help='what to write: a folder, a file or the id of a run')
  parser.add_argument('--format', type=one_of('format', FORMATS), default='hf',
                      metavar='NAME', help='hf, which is the default')
  parser.add_argument('--out', type=path, metavar='FOLDER',
                      help='what to make; not there yet, or empty')
  add_runs(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Writes the folder, and says how to load it."""
  from experiments.exchange import destination, export
  from experiments.runs import origin
  from model import count
  if not options.model or not options.out:
    raise UsageError('name a model and a folder: fathom export MODEL '
                     '--out=FOLDER')
  out = options.out
  destination.check(out)
  model = origin.load(options.model, options.runs)
  expression = export.expressed(model.config)
  export.write(expression, model.config, model.params, out, model.tokenizer)
  kind, = expression.theirs['architectures']
  size = count.parameters(expression.config).total
  print(f'{kind}: {size:,} parameters, float32.')
  if model.tokenizer is None:
    print(f'Without a tokenizer: {model.ids_only}.')
  print(f'transformers.AutoModelForCausalLM.from_pretrained({str(out)!r})')
  return 0
