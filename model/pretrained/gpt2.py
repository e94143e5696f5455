"""GPT-2 (Radford et al., 2019): learned positions, layer norms, biases."""

from collections.abc import Mapping
from typing import Any

from model.attention import AttentionConfig
from model.config import ModelConfig
from model.feed_forward import PlainFeedForward
from model.position import LearnedPosition
from model.pretrained import expression
from model.pretrained.family import Family
from model.pretrained.settings import THEIR_ACTIVATIONS, Settings
from model.pretrained.table import Entry

LAYER = 'transformer.h.{layer}'
# Their matrices are (input, output); one holds queries, keys and values.
TABLE = (
  Entry('transformer.wte.weight', 'token_embedding/embedding_VD', 'V D'),
  Entry('transformer.wpe.weight', 'position_embedding/embedding_TD', 'T D'),
  Entry(f'{LAYER}.ln_1.weight', 'stack/mixer_norm/scale_D', 'D'),
  Entry(f'{LAYER}.ln_1.bias', 'stack/mixer_norm/b_D', 'D'),
  Entry(f'{LAYER}.attn.c_attn.weight', 'stack/mixer/w_q_DHK', 'D (C H K)', 0),
  Entry(f'{LAYER}.attn.c_attn.weight', 'stack/mixer/w_k_DGK', 'D (C G K)', 1),
  Entry(f'{LAYER}.attn.c_attn.weight', 'stack/mixer/w_v_DGK', 'D (C G K)', 2),
  Entry(f'{LAYER}.attn.c_attn.bias', 'stack/mixer/b_q_HK', '(C H K)', 0),
  Entry(f'{LAYER}.attn.c_attn.bias', 'stack/mixer/b_k_GK', '(C G K)', 1),
  Entry(f'{LAYER}.attn.c_attn.bias', 'stack/mixer/b_v_GK', '(C G K)', 2),
  Entry(f'{LAYER}.attn.c_proj.weight', 'stack/mixer/w_o_HKD', '(H K) D'),
  Entry(f'{LAYER}.attn.c_proj.bias', 'stack/mixer/b_o_D', 'D'),
  Entry(f'{LAYER}.ln_2.weight', 'stack/ffn_norm/scale_D', 'D'),
  Entry(f'{LAYER}.ln_2.bias', 'stack/ffn_norm/b_D', 'D'),
  Entry(f'{LAYER}.mlp.c_fc.weight', 'stack/ffn/w_up_DF', 'D F'),
  Entry(f'{LAYER}.mlp.c_fc.bias', 'stack/ffn/b_up_F', 'F'),
  Entry(f'{LAYER}.mlp.c_proj.weight', 'stack/ffn/w_down_FD', 'F D'),
  Entry(f'{LAYER}.mlp.c_proj.bias', 'stack/ffn/b_down_D', 'D'),
  Entry('transformer.ln_f.weight', 'norm/scale_D', 'D'),
  Entry('transformer.ln_f.bias', 'norm/b_D', 'D'),
)
# What configs of other families call the same, and their library takes here.
NAMES = {'hidden_size': 'n_embd', 'num_hidden_layers': 'n_layer',
         'num_attention_heads': 'n_head',
         'max_position_embeddings': 'n_positions'}
HEAD = Entry('lm_head.weight', 'unembedding/w_DV', 'V D')


def config(values: Mapping[str, Any]) -> ModelConfig:
  """What a `config.json` says; what it leaves out is as in GPT-2 small.

  Raises:
    UnreadableModel: it says something that we do not compute.
  """
  theirs = Settings(values).renamed(NAMES)
  theirs.fixed('is_causal', True)
  theirs.fixed('scale_attn_weights', True)
  theirs.fixed('scale_attn_by_inverse_layer_idx', False)
  theirs.fixed('add_cross_attention', False)
  width = theirs.count('n_embd', 768)
  return ModelConfig(
    n_layers=theirs.layers('n_layer', 12),
    d_model=width,
    mixer=AttentionConfig(n_heads=theirs.heads('n_head', 12, width),
                          qkv_bias=True, out_bias=True),
    position=LearnedPosition(),
    norm='layer',
    norm_epsilon=theirs.number('layer_norm_epsilon', 1e-5),
    feed_forward=PlainFeedForward(
      multiple=theirs.count('n_inner', 4 * width) / width,
      activation=theirs.activation('activation_function', 'gelu_new')),
    unembedding=('tied' if theirs.flag('tie_word_embeddings', True)
                 else 'separate'),
    parameterisation='gpt2',
    vocab_size=theirs.count('vocab_size', 50257),
    max_length=theirs.count('n_positions', 1024))


def theirs(model: ModelConfig) -> dict[str, Any]:
  """The `config.json` of a model.

  Raises:
    ConfigError: names the field that GPT-2 does not have.
  """
  attention = expression.kind(model, 'mixer', AttentionConfig)
  feed_forward = expression.kind(model, 'feed_forward', PlainFeedForward)
  written = {
    'architectures': ['GPT2LMHeadModel'],
    'model_type': 'gpt2',
    'vocab_size': model.vocab_size,
    'n_positions': model.max_length,
    'n_embd': model.d_model,
    'n_layer': model.n_layers,
    'n_head': attention.n_heads,
    'n_inner': model.ff_width,
    'activation_function': THEIR_ACTIVATIONS[feed_forward.activation],
    'layer_norm_epsilon': model.norm_epsilon,
    'tie_word_embeddings': model.unembedding == 'tied',
  }
  expression.check(model, config(written))
  return written


def table(model: ModelConfig) -> tuple[Entry, ...]:
  """Their tensors and our parameters."""
  return TABLE if model.unembedding == 'tied' else (*TABLE, HEAD)


GPT2 = Family(
  name='gpt2', model_types=('gpt2',), config=config, theirs=theirs,
  table=table,
  # What the base model and the model with a head call the same.
  spellings=((r'^(?=(wte|wpe|h|ln_f)\.)', 'transformer.'),),
  copies={'lm_head.weight': 'transformer.wte.weight'},
  # The causal mask.
  ignored=(r'transformer\.h\.\d+\.attn\.(bias|masked_bias)$',))
