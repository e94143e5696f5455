"""GPT-NeoX (Black et al., 2022), and so Pythia: rotary, often parallel."""

from collections.abc import Mapping
from typing import Any

from model.attention import AttentionConfig
from model.config import ModelConfig
from model.feed_forward import PlainFeedForward
from model.position import RotaryPosition
from model.pretrained import expression, rotary
from model.pretrained.family import Family
from model.pretrained.settings import THEIR_ACTIVATIONS, Settings
from model.pretrained.table import Entry

LAYER = 'gpt_neox.layers.{layer}'
FUSED = f'{LAYER}.attention.query_key_value'
# Each head's query, key and value stand together.
TABLE = (
  Entry('gpt_neox.embed_in.weight', 'token_embedding/embedding_VD', 'V D'),
  Entry(f'{LAYER}.input_layernorm.weight', 'stack/mixer_norm/scale_D', 'D'),
  Entry(f'{LAYER}.input_layernorm.bias', 'stack/mixer_norm/b_D', 'D'),
  Entry(f'{FUSED}.weight', 'stack/mixer/w_q_DHK', '(H C K) D', 0),
  Entry(f'{FUSED}.weight', 'stack/mixer/w_k_DGK', '(G C K) D', 1),
  Entry(f'{FUSED}.weight', 'stack/mixer/w_v_DGK', '(G C K) D', 2),
  Entry(f'{LAYER}.attention.dense.weight', 'stack/mixer/w_o_HKD', 'D (H K)'),
  Entry(f'{LAYER}.post_attention_layernorm.weight', 'stack/ffn_norm/scale_D',
        'D'),
  Entry(f'{LAYER}.post_attention_layernorm.bias', 'stack/ffn_norm/b_D', 'D'),
  Entry(f'{LAYER}.mlp.dense_h_to_4h.weight', 'stack/ffn/w_up_DF', 'F D'),
  Entry(f'{LAYER}.mlp.dense_h_to_4h.bias', 'stack/ffn/b_up_F', 'F'),
  Entry(f'{LAYER}.mlp.dense_4h_to_h.weight', 'stack/ffn/w_down_FD', 'D F'),
  Entry(f'{LAYER}.mlp.dense_4h_to_h.bias', 'stack/ffn/b_down_D', 'D'),
  Entry('gpt_neox.final_layer_norm.weight', 'norm/scale_D', 'D'),
  Entry('gpt_neox.final_layer_norm.bias', 'norm/b_D', 'D'),
)
BIASES = (
  Entry(f'{FUSED}.bias', 'stack/mixer/b_q_HK', '(H C K)', 0),
  Entry(f'{FUSED}.bias', 'stack/mixer/b_k_GK', '(G C K)', 1),
  Entry(f'{FUSED}.bias', 'stack/mixer/b_v_GK', '(G C K)', 2),
  Entry(f'{LAYER}.attention.dense.bias', 'stack/mixer/b_o_D', 'D'),
)
HEAD = (Entry('embed_out.weight', 'unembedding/w_DV', 'V D'),)


def config(values: Mapping[str, Any]) -> ModelConfig:
  """What a `config.json` says; what it leaves out is as in GPT-NeoX-20B.

  Raises:
    UnreadableModel: it says something that we do not compute.
  """
  theirs = Settings(values)
  theirs.fixed('is_causal', True)
  width = theirs.count('hidden_size', 6144)
  bias = theirs.flag('attention_bias', True)
  parallel = theirs.flag('use_parallel_residual', True)
  heads = theirs.heads('num_attention_heads', 64, width)
  return ModelConfig(
    n_layers=theirs.layers('num_hidden_layers', 44),
    d_model=width,
    mixer=AttentionConfig(n_heads=heads, qkv_bias=bias, out_bias=bias),
    position=_position(theirs, width // heads),
    norm='layer',
    norm_epsilon=theirs.number('layer_norm_eps', 1e-5),
    branches='parallel' if parallel else 'sequential',
    feed_forward=PlainFeedForward(
      multiple=theirs.count('intermediate_size', 24576) / width,
      activation=theirs.activation('hidden_act', 'gelu')),
    unembedding=('tied' if theirs.flag('tie_word_embeddings', False)
                 else 'separate'),
    parameterisation='standard',
    vocab_size=theirs.count('vocab_size', 50432),
    max_length=theirs.count('max_position_embeddings', 2048))


def _position(theirs: Settings, head: int) -> RotaryPosition:
  """A part of each head turns."""
  position = rotary.position(theirs, 'rotary_emb_base', 'rotary_pct', 0.25)
  turning = int(position.fraction * head)
  if turning % 2 or not turning:
    raise theirs.refuse(
      'rotary_pct', f'{position.fraction} of heads of width {head} is '
      f'{turning} features, which make no pairs; that is not computed here')
  return position


def theirs(model: ModelConfig) -> dict[str, Any]:
  """The `config.json` of a model.

  Raises:
    ConfigError: names the field that GPT-NeoX does not have.
  """
  attention = expression.kind(model, 'mixer', AttentionConfig)
  feed_forward = expression.kind(model, 'feed_forward', PlainFeedForward)
  position = expression.kind(model, 'position', RotaryPosition)
  written = {
    'architectures': ['GPTNeoXForCausalLM'],
    'model_type': 'gpt_neox',
    'vocab_size': model.vocab_size,
    'hidden_size': model.d_model,
    'num_hidden_layers': model.n_layers,
    'num_attention_heads': attention.n_heads,
    'intermediate_size': model.ff_width,
    'hidden_act': THEIR_ACTIVATIONS[feed_forward.activation],
    'max_position_embeddings': model.max_length,
    'layer_norm_eps': model.norm_epsilon,
    'tie_word_embeddings': model.unembedding == 'tied',
    'use_parallel_residual': model.branches == 'parallel',
    'attention_bias': attention.qkv_bias,
    'rotary_emb_base': position.base,
    'rotary_pct': position.fraction,
    'rope_scaling': rotary.theirs(position)['rope_scaling'],
  }
  expression.check(model, config(written))
  return written


def table(model: ModelConfig) -> tuple[Entry, ...]:
  """Their tensors and our parameters."""
  attention = expression.kind(model, 'mixer', AttentionConfig)
  return (TABLE + (BIASES if attention.qkv_bias else ()) +
          (HEAD if model.unembedding == 'separate' else ()))


NEOX = Family(
  name='neox', model_types=('gpt_neox',), config=config, theirs=theirs,
  table=table,
  # The base model alone, and what the head is called in newer code.
  spellings=((r'^(?=(embed_in|layers|final_layer_norm)\.)', 'gpt_neox.'),
             (r'^lm_head\.', 'embed_out.')),
  copies={'embed_out.weight': 'gpt_neox.embed_in.weight'},
  # The causal mask, and the rotary frequencies.
  ignored=(r'gpt_neox\.layers\.\d+\.attention\.(bias|masked_bias)$',
           r'gpt_neox\.(.*\.)?rotary_emb\.inv_freq$'))
