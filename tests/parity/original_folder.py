"""Karlo's own checkpoints, written from the networks of diffusers and open_clip, block by block.

The writer follows what is known of the original code: its U-Nets append their blocks to one list on the way down and
to one on the way up, and its attention stores q, k and v head after head. It knows nothing of our tables.
"""

import warnings
from types import SimpleNamespace

import torch
from torch import nn

NAMES = SimpleNamespace(clip="ViT-L-14.pt", statistics="ViT-L-14_stats.th",
                        prior="prior-ckpt-step=01000000-of-01000000.ckpt",
                        decoder="decoder-ckpt-step=01000000-of-01000000.ckpt",
                        upsampler="improved-sr-ckpt-step=1.2M.ckpt")  # fmt: skip


def put(state, name, layer):
    """A layer's weight and bias under a name."""
    state[f"{name}.weight"], state[f"{name}.bias"] = layer.weight.data, layer.bias.data


def put_heads(state, name, layers, width, convolution=False):
    """Several projections in one tensor: rows of the first head from each, then of the second head, ..."""
    for kind in ("weight", "bias"):
        rows, tensors = [], [getattr(layer, kind).data for layer in layers]
        for start in range(0, len(tensors[0]), width):
            rows += [tensor[start : start + width] for tensor in tensors]
        packed = torch.cat(rows)
        state[f"{name}.{kind}"] = packed[..., None] if convolution and kind == "weight" else packed


def put_resnet(state, name, block):
    put(state, f"{name}.in_layers.0", block.norm1)
    put(state, f"{name}.in_layers.2", block.conv1)
    put(state, f"{name}.emb_layers.1", block.time_emb_proj)
    put(state, f"{name}.out_layers.0", block.norm2)
    put(state, f"{name}.out_layers.3", block.conv2)
    if block.conv_shortcut is not None:
        put(state, f"{name}.skip_connection", block.conv_shortcut)


def put_attention(state, name, block, head_width):
    put(state, f"{name}.norm", block.group_norm)
    put_heads(state, f"{name}.qkv", [block.to_q, block.to_k, block.to_v], head_width, convolution=True)
    put_heads(state, f"{name}.encoder_kv", [block.add_k_proj, block.add_v_proj], head_width, convolution=True)
    put(state, f"{name}.proj_out", block.to_out[0])
    state[f"{name}.proj_out.weight"] = state[f"{name}.proj_out.weight"][..., None]


def rows_of_blocks(unet):
    """The blocks on the way down, in the middle and on the way up, as the original lists them."""

    def with_attention(level):
        attentions = getattr(level, "attentions", None) or [None] * len(level.resnets)
        return [[block, attention] for block, attention in zip(level.resnets, attentions, strict=True)]

    down, up = [[unet.conv_in]], []
    for level in unet.down_blocks:
        down += with_attention(level) + [[block] for block in level.downsamplers or []]
    for level in unet.up_blocks:
        up += with_attention(level)
        up[-1] += level.upsamplers or []  # doubling the side shares the place of the block before it
    first, last = unet.mid_block.resnets
    middle = [first, *(getattr(unet.mid_block, "attentions", None) or []), last]
    return {"input_blocks": down, "output_blocks": up, "middle_block": middle}


def put_unet(state, prefix, unet, head_width=16):
    def put_block(name, block):
        if hasattr(block, "conv1"):
            put_resnet(state, name, block)
        elif hasattr(block, "to_q"):
            put_attention(state, name, block, head_width)
        else:
            put(state, name, block)

    put(state, f"{prefix}.time_embed.0", unet.time_embedding.linear_1)
    put(state, f"{prefix}.time_embed.2", unet.time_embedding.linear_2)
    put(state, f"{prefix}.out.0", unet.conv_norm_out)
    put(state, f"{prefix}.out.2", unet.conv_out)
    rows = rows_of_blocks(unet)
    for i, block in enumerate(block for block in rows.pop("middle_block") if block is not None):
        put_block(f"{prefix}.middle_block.{i}", block)
    for row, places in rows.items():
        for n, blocks in enumerate(places):
            for i, block in enumerate(block for block in blocks if block is not None):
                put_block(f"{prefix}.{row}.{n}.{i}", block)


def prior_state(prior, head_width=16):
    state = {"model.positional_embedding": prior.positional_embedding.data, "model.prd_emb": prior.prd_embedding.data}
    for theirs, layer in {
        "time_embed.0": prior.time_embedding.linear_1, "time_embed.2": prior.time_embedding.linear_2,
        "clip_img_proj": prior.proj_in, "text_emb_proj": prior.embedding_proj,
        "text_enc_proj": prior.encoder_hidden_states_proj, "final_ln": prior.norm_out,
        "out_proj": prior.proj_to_clip_embeddings,
    }.items():  # fmt: skip
        put(state, f"model.{theirs}", layer)
    for i, block in enumerate(prior.transformer_blocks):
        name, attention = f"model.transformer.resblocks.{i}", block.attn1
        put_heads(state, f"{name}.attn.c_qkv", [attention.to_q, attention.to_k, attention.to_v], head_width)
        put(state, f"{name}.attn.c_proj", attention.to_out[0])
        put(state, f"{name}.ln_1", block.norm1)
        put(state, f"{name}.ln_2", block.norm3)
        put(state, f"{name}.mlp.c_fc", block.ff.net[0].proj)
        put(state, f"{name}.mlp.c_proj", block.ff.net[2])
    return state


def decoder_state(decoder, text_proj):
    state = {"model.cf_param": text_proj.learned_classifier_free_guidance_embeddings.data}
    put(state, "model.text_seq_proj.0", text_proj.encoder_hidden_states_proj)
    put(state, "model.text_seq_proj.1", text_proj.text_encoder_hidden_states_norm)
    put(state, "model.clip_tok_proj", text_proj.clip_extra_context_tokens_proj)
    put(state, "model.text_feat_proj", text_proj.embedding_proj)
    put(state, "model.clip_emb", text_proj.clip_image_embeddings_project_to_time_embeddings)
    put_unet(state, "model", decoder)
    return state


class Holder(nn.Module):
    """Tensors under nested names, in a module that TorchScript accepts."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def save_program(path, state):
    """A TorchScript archive with these weights, in half precision where OpenAI's is."""
    root = Holder()
    for name, tensor in state.items():
        *parents, last = name.split(".")
        module = root
        for parent in parents:
            if not hasattr(module, parent):
                module.add_module(parent, Holder())
            module = getattr(module, parent)
        module.register_buffer(last, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the format is an old one
        torch.jit.script(root).save(path)
