"""BERT (Devlin et al., 2019), and so MiniLM: an encoder, norms after branches.

Its stream after the last layer is what we compute. The pooler and the heads
that it was trained with, or for, are left out.
"""

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

LAYER = 'encoder.layer.{layer}'
ATTENTION = f'{LAYER}.attention.self'
TABLE = (
  Entry('embeddings.word_embeddings.weight', 'token_embedding/embedding_VD',
        'V D'),
  Entry('embeddings.position_embeddings.weight',
        'position_embedding/embedding_TD', 'T D'),
  Entry('embeddings.token_type_embeddings.weight', 'token_types/embedding_YD',
        'Y D'),
  Entry('embeddings.LayerNorm.weight', 'embedding_norm/scale_D', 'D'),
  Entry('embeddings.LayerNorm.bias', 'embedding_norm/b_D', 'D'),
  Entry(f'{ATTENTION}.query.weight', 'stack/mixer/w_q_DHK', '(H K) D'),
  Entry(f'{ATTENTION}.query.bias', 'stack/mixer/b_q_HK', '(H K)'),
  Entry(f'{ATTENTION}.key.weight', 'stack/mixer/w_k_DGK', '(G K) D'),
  Entry(f'{ATTENTION}.key.bias', 'stack/mixer/b_k_GK', '(G K)'),
  Entry(f'{ATTENTION}.value.weight', 'stack/mixer/w_v_DGK', '(G K) D'),
  Entry(f'{ATTENTION}.value.bias', 'stack/mixer/b_v_GK', '(G K)'),
  Entry(f'{LAYER}.attention.output.dense.weight', 'stack/mixer/w_o_HKD',
        'D (H K)'),
  Entry(f'{LAYER}.attention.output.dense.bias', 'stack/mixer/b_o_D', 'D'),
  Entry(f'{LAYER}.attention.output.LayerNorm.weight',
        'stack/mixer_norm/scale_D', 'D'),
  Entry(f'{LAYER}.attention.output.LayerNorm.bias', 'stack/mixer_norm/b_D',
        'D'),
  Entry(f'{LAYER}.intermediate.dense.weight', 'stack/ffn/w_up_DF', 'F D'),
  Entry(f'{LAYER}.intermediate.dense.bias', 'stack/ffn/b_up_F', 'F'),
  Entry(f'{LAYER}.output.dense.weight', 'stack/ffn/w_down_FD', 'D F'),
  Entry(f'{LAYER}.output.dense.bias', 'stack/ffn/b_down_D', 'D'),
  Entry(f'{LAYER}.output.LayerNorm.weight', 'stack/ffn_norm/scale_D', 'D'),
  Entry(f'{LAYER}.output.LayerNorm.bias', 'stack/ffn_norm/b_D', 'D'),
)


def config(values: Mapping[str, Any]) -> ModelConfig:
  """What a `config.json` says; what it leaves out is as in BERT base.

  Raises:
    UnreadableModel: it says something that we do not compute.
  """
  theirs = Settings(values)
  theirs.fixed('position_embedding_type', 'absolute')
  theirs.fixed('is_decoder', False)
  theirs.fixed('add_cross_attention', False)
  width = theirs.count('hidden_size', 768)
  heads = theirs.heads('num_attention_heads', 12, width)
  return ModelConfig(
    n_layers=theirs.layers('num_hidden_layers', 12),
    d_model=width,
    mixer=AttentionConfig(n_heads=heads, qkv_bias=True, out_bias=True),
    mask='bidirectional',
    position=LearnedPosition(),
    token_types=theirs.count('type_vocab_size', 2),
    embedding_norm=True,
    norm='layer',
    norm_placement='post',
    norm_epsilon=theirs.number('layer_norm_eps', 1e-12),
    final_norm=False,
    feed_forward=PlainFeedForward(
      multiple=theirs.count('intermediate_size', 3072) / width,
      activation=theirs.activation('hidden_act', 'gelu')),
    unembedding='absent',
    parameterisation='standard',
    vocab_size=theirs.count('vocab_size', 30522),
    max_length=theirs.count('max_position_embeddings', 512))


def theirs(model: ModelConfig) -> dict[str, Any]:
  """The `config.json` of a model.

  Raises:
    ConfigError: names the field that BERT does not have.
  """
  attention = expression.kind(model, 'mixer', AttentionConfig)
  feed_forward = expression.kind(model, 'feed_forward', PlainFeedForward)
  written = {
    'architectures': ['BertModel'],
    'model_type': 'bert',
    'vocab_size': model.vocab_size,
    'hidden_size': model.d_model,
    'num_hidden_layers': model.n_layers,
    'num_attention_heads': attention.n_heads,
    'intermediate_size': model.ff_width,
    'hidden_act': THEIR_ACTIVATIONS[feed_forward.activation],
    'max_position_embeddings': model.max_length,
    'type_vocab_size': model.token_types,
    'layer_norm_eps': model.norm_epsilon,
    'position_embedding_type': 'absolute',
  }
  expression.check(model, config(written))
  return written


def table(model: ModelConfig) -> tuple[Entry, ...]:
  """Their tensors and our parameters."""
  del model
  return TABLE


BERT = Family(
  name='bert', model_types=('bert',), config=config, theirs=theirs,
  table=table,
  # The encoder inside a model with a head, and how TensorFlow calls a norm's.
  spellings=((r'^bert\.', ''), (r'LayerNorm\.gamma$', 'LayerNorm.weight'),
             (r'LayerNorm\.beta$', 'LayerNorm.bias')),
  # Counts from 0, the pooler, and the heads.
  ignored=(r'embeddings\.(position_ids|token_type_ids)', r'pooler\..*',
           r'cls\..*', r'classifier\..*', r'qa_outputs\..*'))
