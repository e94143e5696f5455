"""A forward pass in NumPy, float64, written out: loops over rows and heads."""

import numpy as np
from scipy import special

from model.parameterisation import logit_multiplier, residual_multiplier


def forward(config, params, tokens_T, types_T=None):
  """The stream before the unembedding, and the logits, of one text."""
  x_TD = np.float64(params['token_embedding']['embedding_VD'][tokens_T])
  if config.token_types:
    types_T = np.zeros_like(tokens_T) if types_T is None else types_T
    x_TD = x_TD + params['token_types']['embedding_YD'][types_T]
  if config.position_name == 'learned':
    x_TD = x_TD + params['position_embedding']['embedding_TD'][:len(x_TD)]
  if config.embedding_norm:
    x_TD = norm(config, params['embedding_norm'], x_TD)
  weight = residual_multiplier(config)
  for n in range(config.n_layers):
    layer = {part: {name: np.float64(leaf[n]) for name, leaf in leaves.items()}
             for part, leaves in params['stack'].items()}
    mixed_TD = weight * attention(
      config, layer['mixer'], norm(config, layer['mixer_norm'], x_TD))
    read_TD = x_TD + (config.branches == 'sequential') * mixed_TD
    fed_TD = weight * feed(
      config, layer['ffn'], norm(config, layer['ffn_norm'], read_TD))
    x_TD = x_TD + mixed_TD + fed_TD
  if config.final_norm:
    x_TD = norm(config, params['norm'], x_TD)
  if config.unembedding == 'absent':
    return x_TD, np.zeros((len(x_TD), 0))
  return x_TD, logit_multiplier(config) * x_TD @ params['unembedding']['w_DV']


def norm(config, params, x_TD):
  if config.norm == 'layer':
    x_TD = x_TD - x_TD.mean(-1, keepdims=True)
  return rms(config, params['scale_D'], x_TD) + params.get('b_D', 0)


def rms(config, scale, x):
  square = (x**2).mean(-1, keepdims=True)
  return x / np.sqrt(square + config.norm_epsilon) * scale


def attention(config, p, x_TD):
  mixer, length = config.mixer, len(x_TD)
  out_TD = np.zeros_like(x_TD) + p.get('b_o_D', 0)
  for h in range(mixer.n_heads):
    g = h * mixer.kv_heads // mixer.n_heads
    q_TK = x_TD @ p['w_q_DHK'][:, h] + p.get('b_q_HK', np.zeros((9, 1)))[h]
    k_TK = x_TD @ p['w_k_DGK'][:, g] + p.get('b_k_GK', np.zeros((9, 1)))[g]
    v_TK = x_TD @ p['w_v_DGK'][:, g] + p.get('b_v_GK', np.zeros((9, 1)))[g]
    if mixer.qk_norm == 'head':
      q_TK = rms(config, p['scale_q_K'], q_TK)
      k_TK = rms(config, p['scale_k_K'], k_TK)
    if config.position_name == 'rotary':
      q_TK, k_TK = (turned(config.position, x_TK) for x_TK in (q_TK, k_TK))
    score_TS = q_TK @ k_TK.T / np.sqrt(q_TK.shape[1])
    if config.mask == 'causal':
      score_TS = np.where(np.tri(length), score_TS, -np.inf)
    out_TD += special.softmax(score_TS, -1) @ v_TK @ p['w_o_HKD'][h]
  return out_TD


def turned(position, x_TK):
  pairs = int(position.fraction * x_TK.shape[1]) // 2
  frequency_J = position.scaling.scaled(
    position.base ** (-np.arange(pairs) / pairs), position.base)
  z_TJ = ((x_TK[:, :pairs] + 1j * x_TK[:, pairs:2 * pairs])
          * np.exp(1j * np.arange(len(x_TK))[:, None] * frequency_J))
  return np.concatenate([z_TJ.real, z_TJ.imag, x_TK[:, 2 * pairs:]], 1)


def feed(config, p, x_TD):
  h_TF = x_TD @ p['w_up_DF'] + p['b_up_F']
  if config.feed_forward.activation == 'gelu_exact':
    h_TF = h_TF * (1 + special.erf(h_TF / np.sqrt(2))) / 2
  else:
    h_TF = h_TF * (1 + np.tanh(np.sqrt(2 / np.pi)
                               * (h_TF + 0.044715 * h_TF**3))) / 2
  return h_TF @ p['w_down_FD'] + p['b_down_D']
