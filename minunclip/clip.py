"""CLIP: a picture and its caption as nearby points (Radford et al. 2021; unCLIP section 2).

    image --ViT--> z_i        text --causal Transformer--> z_t        trained so that z_i . z_t is large for
                                                                      a pair and small for everybody else
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from .common import Stage
from .networks import Transformer, causal_mask
from .text import BytePairTokenizer, Text, WordTokenizer


@dataclass(frozen=True)
class CLIPConfig:
    """Sizes of both encoders. The defaults are OpenAI's ViT-L/14."""

    embed_width: int = 768
    image_size: int = 224
    patch: int = 14
    stem: tuple[int, ...] = ()              # channels of 3x3 convolutions in front of the patches, see `conv_stem`
    image_width: int = 1024
    image_layers: int = 24                  # 0: no image encoder at all
    image_heads: int = 16
    image_inner: int | None = None          # channels inside an MLP of the image encoder; None: 4 * image_width
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    context: int = 77
    vocabulary: tuple[str, ...] = ()        # the words of a WordTokenizer; empty: CLIP's byte pairs
    pieces: tuple[int, ...] = ()            # those of CLIP's byte pairs that it knows besides bytes; empty: all
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)   # of red, green and blue, 0 to 1, with which its pictures are normalised
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    activation: str = "quick_gelu"
    noise: float = 0.0                      # on each number of the normalised z_i in training: what it may not tell


class ImageEncoder(nn.Module):
    """Vision Transformer (Dosovitskiy et al. 2021): patches as tokens, and a class token that collects."""

    def __init__(self, config: CLIPConfig):
        super().__init__()
        c, width = config, config.image_width
        self.stem, channels = conv_stem(c.stem)
        patch = c.patch // 2 ** len(set(c.stem))
        self.patches = nn.Conv2d(channels, width, patch, stride=patch, bias=False)
        self.class_token = nn.Parameter(width**-0.5 * torch.randn(width))
        self.positions = nn.Parameter(width**-0.5 * torch.randn((c.image_size // c.patch) ** 2 + 1, width))
        self.norm_in = nn.LayerNorm(width)
        self.transformer = Transformer(width, c.image_layers, c.image_heads, c.activation, inner=c.image_inner)
        self.norm_out = nn.LayerNorm(width)
        self.project = nn.Linear(width, c.embed_width, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.project(self.norm_out(self.read(images)[:, 0]))     # (B, embed_width)

    def read(self, images: Tensor) -> Tensor:
        """The class token and the patches in reading order, after the last block: (B, 1 + patches, width)."""
        x = rearrange(self.patches(self.stem(images)), "b d h w -> b (h w) d")
        x = torch.cat([repeat(self.class_token, "d -> b 1 d", b=len(x)), x], dim=1)
        x, _ = self.transformer(self.norm_in(x + self.positions))
        return x


def conv_stem(widths: tuple[int, ...]) -> tuple[nn.Module, int]:
    """3x3 convolutions: small models see shapes sooner with them (Xiao et al. 2021).

    Each new width halves the side; a width that is repeated keeps it.
    """
    layers, channels = [], 3
    for width in widths:
        stride = 1 if width == channels else 2
        layers += [nn.Conv2d(channels, width, 3, stride, padding=1), nn.GroupNorm(8, width), nn.GELU()]
        channels = width
    return nn.Sequential(*layers), channels


class TextEncoder(nn.Module):
    """A GPT-like causal Transformer; the last token has read the whole caption and speaks for it."""

    def __init__(self, config: CLIPConfig, vocabulary_size: int):
        super().__init__()
        c, width = config, config.text_width
        self.words = nn.Embedding(vocabulary_size, width)
        self.positions = nn.Parameter(0.01 * torch.randn(c.context, width))
        self.transformer = Transformer(width, c.text_layers, c.text_heads, c.activation)
        self.norm_out = nn.LayerNorm(width)
        self.project = nn.Linear(width, c.embed_width, bias=False)
        nn.init.normal_(self.words.weight, std=0.02)

    def forward(self, ids: Tensor) -> Text:
        length = ids.shape[1]
        x = self.words(ids) + self.positions[:length]                   # (B, L, width)
        x, _ = self.transformer(x, causal_mask(length, ids.device))
        tokens = self.norm_out(x)
        end = ids.argmax(dim=1)                                         # the end token has the highest id
        embed = self.project(tokens[torch.arange(len(ids), device=ids.device), end])       # (B, embed_width)
        return Text(embed, tokens, torch.arange(length, device=ids.device) <= end[:, None])


class CLIP(Stage):
    """Both encoders, and the temperature of their comparison."""

    config_class, file_name = CLIPConfig, "clip.safetensors"

    def __init__(self, config: CLIPConfig):
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer_of(config)
        self.image = ImageEncoder(config) if config.image_layers else None
        self.text = TextEncoder(config, self.tokenizer.size)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())     # the inverse temperature, learned

    def encode_image(self, images: Tensor) -> Tensor:
        """z_i of pictures (B, 3, S, S), normalised as the model was trained: raw embeddings (B, D).

        Raises ValueError if this CLIP reads captions only, as the one in Karlo's files does.
        """
        if self.image is None:
            raise ValueError("this CLIP came without its image encoder: it can read captions, not pictures")
        return self.image(images)

    def look(self, images: Tensor) -> Tensor:
        """z_i (B, D) of pictures (B, 3, S, S) in -1 to 1, brought to the side and the colours that this CLIP knows."""
        return self.encode_image(self.prepared(images))

    def prepared(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in -1 to 1 as `encode_image` takes them."""
        side, c = images.shape[-1], self.config
        if side != c.image_size:
            way = {"mode": "area"} if side > c.image_size else {"mode": "bicubic", "antialias": True}
            images = F.interpolate(images, c.image_size, **way)
        mean, std = (torch.tensor(of, device=images.device).view(3, 1, 1) for of in (c.mean, c.std))
        return (images - (2 * mean - 1)) / (2 * std)                    # of 0 to 1 they are: (x - mean) / std

    def encode_text(self, captions: str | list[str]) -> Text:
        """z_t, the tokens and their mask; trailing padding is cut. A str is one caption.

        Raises ValueError for unknown words, and for what is no caption, see `as_captions`.
        """
        return self.encode_ids(self.tokenizer(captions))

    def encode_ids(self, ids: Tensor) -> Text:
        """The same for captions that are numbers already: ids (B, context), as the tokenizer writes them."""
        longest = int(ids.argmax(dim=1).max()) + 1
        return self.text(ids[:, :longest].to(self.device).long())

    def similarity(self, z_i: Tensor, z_t: Tensor) -> Tensor:
        """Cosine of every picture with every caption: (B, D), (C, D) -> (B, C), in -1 to 1."""
        return F.normalize(z_i, dim=-1) @ F.normalize(z_t, dim=-1).T

    def loss(self, images: Tensor, ids: Tensor, rng: torch.Generator) -> Tensor:
        """The contrastive loss of pictures (B, 3, S, S) and ids (B, context) of their captions, see `compare`."""
        return self.compare(self.encode_image(images), self.embed_ids(ids), rng)

    def compare(self, z_i: Tensor, z_t: Tensor, rng: torch.Generator) -> Tensor:
        """The symmetric contrastive loss: find your caption, find your picture. Radford et al. 2021, fig. 3.

        z_i, z_t (B, D) of pairs. Noise on z_i drowns what stands out less than it: so CLIP must say what captions tell
        loudly, and later stages may ignore what it says more softly (`config.noise`).
        """
        z_i = F.normalize(z_i.float(), dim=-1)
        noise = self.config.noise * torch.randn(z_i.shape, generator=rng, device="cpu").to(z_i.device)
        return contrastive_loss(z_i + noise, z_t, self.log_scale)

    def embed_ids(self, ids: Tensor, groups: int = 4) -> Tensor:
        """z_t (B, D) of captions ids (B, context), those of like length together: less padding, half the work."""
        order = ids.argmax(dim=1).argsort()
        parts = [self.encode_ids(ids[rows]).embed for rows in order.chunk(groups)]
        return torch.cat(parts)[order.argsort().to(self.device)]


def tokenizer_of(config: CLIPConfig) -> WordTokenizer | BytePairTokenizer:
    """What turns captions into the numbers that such a CLIP reads."""
    if config.vocabulary:
        return WordTokenizer(config.vocabulary, config.context)
    return BytePairTokenizer(config.context, config.pieces)


def contrastive_loss(z_i: Tensor, z_t: Tensor, log_scale: Tensor) -> Tensor:
    """Cross-entropy over the rows and over the columns of the similarity matrix; the pairs are its diagonal."""
    scale = log_scale.clamp(max=4.6052).exp()                           # at most 100, as in CLIP
    logits = scale * F.normalize(z_i.float(), dim=-1) @ F.normalize(z_t.float(), dim=-1).T    # (B, B)
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
