"""The autoregressive prior: an image embedding, told like a sentence (unCLIP section 2.2).

PCA writes z_i as a few numbers, the most telling first. Each number is rounded to one of some buckets, so z_i
becomes a row of tokens, and a causal Transformer learns to continue it, as a language model continues a text:

    reads      [ caption tokens | z_t | dot | c_1 | c_2 | ... ]
    predicts                          [ c_1 | c_2 | c_3 | ... ]

The token `dot` says how well the picture fits its caption. The data has all sorts; a sampler asks for a good fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .diffusion import Step, last
from .embeddings import PCA
from .prior import Prefix, Prior
from .text import Text


@dataclass(frozen=True)
class ARPriorConfig:
    """The defaults are the paper's (section 2.2 and Table 3), except that it does not say `dot_buckets`."""

    z_width: int = 1024
    text_width: int = 2048
    context: int = 256                      # the longest caption, in tokens
    components: int = 319                   # of the z_width principal components, those that are kept
    buckets: int = 1024                     # each component is rounded to one of so many values
    dot_buckets: int = 32
    width: int = 1664
    layers: int = 24
    heads: int = 26

    def __post_init__(self):
        if not 1 <= self.components <= self.z_width:
            raise ValueError(f"components is {self.components}: an embedding of {self.z_width} has 1 to {self.z_width}")
        for name in ("buckets", "dot_buckets"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} is {getattr(self, name)}: with less than two there is nothing to choose")


class ARPrior(Prior):
    """Component after component: each from the caption, the dot product and those before it."""

    config_class, file_name = ARPriorConfig, "ar-prior.safetensors"

    def __init__(self, config: ARPriorConfig):
        super().__init__(config, following=config.components)
        c, width = config, config.width
        self.bucket_in = nn.Embedding(c.buckets + c.dot_buckets, width)  # one vocabulary: buckets, then dots
        self.bucket_out = nn.Linear(width, c.buckets)
        # A bucket means another value for each component, so each has scales of its own, on the way in and out. The
        # paper does not mention any: these are our addition.
        self.scales_in = nn.Parameter(torch.randn(1, 1 + c.components, width))
        self.scales_out = nn.Parameter(torch.randn(1, c.components, width))
        nn.init.normal_(self.bucket_in.weight, std=0.02)
        self.register_buffer("mean", torch.zeros(c.z_width))
        self.register_buffer("basis", torch.eye(c.components, c.z_width))
        self.register_buffer("variances", torch.ones(c.components))
        self.register_buffer("low", -torch.ones(c.components))          # where the first bucket begins
        self.register_buffer("high", torch.ones(c.components))          # and the last one ends
        self.register_buffer("dot_edges", torch.linspace(-1, 1, c.dot_buckets + 1)[1:-1])

    # -- an embedding as tokens, and back --------------------------------------------------------------------

    @torch.no_grad()
    def fit(self, z_i: Tensor, z_t: Tensor) -> None:
        """Take components and buckets from training pairs z_i, z_t (N, D), raw. Training does not change them.

        A component's buckets are equally wide, from its smallest to its largest value. Those of the dot product
        hold equally many pairs, so that the upper half of them is the better half of the pairs. All goes through
        float16, as it will in the file. Raises ValueError if a component does not vary.
        """
        pca, k = PCA.fit(z_i), self.config.components
        for name, value in (("mean", pca.mean), ("basis", pca.basis[:k]), ("variances", pca.variances[:k])):
            getattr(self, name).copy_(value.half())
        shares = torch.linspace(0, 1, self.config.dot_buckets + 1, dtype=torch.float32, device="cpu")[1:-1]
        x = self.whiten(z_i.to(self.device))
        self.low.copy_(x.amin(dim=0).half())
        self.high.copy_(x.amax(dim=0).half())
        self.dot_edges.copy_(torch.quantile(dot(z_i, z_t), shares.to(z_i.device)).half())
        if flat := (self.high <= self.low).nonzero().flatten().tolist():
            raise ValueError(f"component {flat[0] + 1} of these {len(z_i)} embeddings is always the same: keep fewer")

    @property
    def pca(self) -> PCA:
        """The principal components that are kept."""
        return PCA(self.mean, self.basis, self.variances)

    def whiten(self, z_i: Tensor) -> Tensor:
        """Raw CLIP image embeddings (B, D) -> their components (B, K): what the diffusion prior's whitening is here."""
        return self.pca.project(z_i)

    def unwhiten(self, x: Tensor) -> Tensor:
        """Components (B, K), or only the first of them -> z_i (B, D), raw."""
        return self.pca.back(x)

    def quantise(self, x: Tensor) -> Tensor:
        """Components (B, K) -> the buckets that they fall into (B, K), 0 .. buckets - 1.

        What lies beyond the first or the last bucket is put into that one.
        """
        share = (x - self.low.float()) / (self.high - self.low).float()
        return (share * self.config.buckets).floor().long().clamp(0, self.config.buckets - 1)

    def dequantise(self, ids: Tensor) -> Tensor:
        """Buckets (B, K) -> the values at their centres (B, K)."""
        share = (torch.as_tensor(ids, dtype=torch.float32) + 0.5) / self.config.buckets
        return self.low.float() + share * (self.high - self.low).float()

    def quantise_dot(self, value: Tensor) -> Tensor:
        """Dot products (B,) -> their tokens (B,), which come after those of the buckets."""
        return self.config.buckets + torch.bucketize(value, self.dot_edges.to(value.dtype), right=True)

    def tokens(self, z_i: Tensor, z_t: Tensor) -> Tensor:
        """A raw pair as the model reads it: [dot, c_1, ..., c_K], (B, 1 + K) int64."""
        return torch.cat([self.quantise_dot(dot(z_i, z_t))[:, None], self.quantise(self.whiten(z_i))], dim=1)

    # -- the network -----------------------------------------------------------------------------------------

    def read(self, tokens: Tensor, prefix: Prefix, first: int = 0) -> tuple[Tensor, Prefix]:
        """Read on: tokens (B, n), the first of which has the number `first` in [dot, c_1, c_2, ...]; -1 is hidden.

        Returns the logits of what follows each, (B, n, buckets), and the prefix grown by n: pass it to the next
        call with first + n, and nothing is computed twice.
        """
        n, start = tokens.shape[1], self.config.context + 1 + first
        words = self.bucket_in(tokens.clamp(min=0)) * self.scales_in[:, first : first + n]  # (B, n, width)
        words = words.masked_fill((tokens < 0).unsqueeze(-1), 0)
        x, prefix = self.read_on(words + self.positions[:, start : start + n], prefix)  # (B, n, width)
        return self.bucket_out(x * self.scales_out[:, first : first + n]), prefix

    def forward(self, tokens: Tensor, text: Text | Prefix) -> Tensor:
        """[dot, c_1, ..., c_n] (B, 1 + n), n < K -> logits of c_1, ..., c_{n + 1}: (B, 1 + n, buckets)."""
        return self.read(tokens, text if isinstance(text, Prefix) else self.prefix(text))[0]

    def loss(self, z_i: Tensor, text: Text, z_t: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """Cross-entropy of the true buckets, the mean over the components, in nats, per example: (B,).

        z_i (B, D) raw. Where captions were dropped from `text`, pass all the true ones' z_t (B, D): the dot
        product is that of the true pair, and says the same thing with and without the caption. hidden (B, K) bool:
        which of [dot, c_1, ..., c_{K-1}] the model does not see.
        """
        tokens = self.tokens(z_i, text.embed if z_t is None else z_t)
        seen = tokens[:, :-1] if hidden is None else tokens[:, :-1].masked_fill(hidden, -1)
        logits = self(seen, text)                                                       # (B, K, buckets)
        return next_token_loss(logits.float(), tokens)

    # -- sampling --------------------------------------------------------------------------------------------

    @property
    def noise_width(self) -> int:
        return 1 + self.config.components

    def stream_length(self, steps: int) -> int:
        """One step for each component, however many the caller has in mind."""
        return self.config.components

    @torch.no_grad()
    def stream(
        self, text: Text, noise: Iterable[Tensor], *, empty: Text | None = None, guidance: float = 1.0,
        steps: int | None = None, sampler: str = "", temperature: float = 1.0, dot_from: float = 0.5,
    ) -> Iterator[Step]:  # fmt: skip
        """Draw a z_i for each caption, component by component; yields after each, with t = K - 1, ..., 0.

        noise        its first tensor is used, standard normal (B, 1 + K): a number for each token, the dot's first
        guidance     of the logits, against `empty`, the one encoded empty caption, with the same dot; 1 is none
        steps, sampler   not used: they are the diffusion prior's
        temperature  divides the logits; 0 takes the likeliest bucket (the dot product is drawn all the same)
        dot_from     draw the dot product from the training pairs above this quantile; the paper: the top half

        A step's x_t and x_0 are the components so far, (B, K), with 0, the mean, for those to come.
        """
        if guidance != 1 and empty is None:
            raise ValueError("guidance compares with the empty caption: pass empty=clip.encode_text([''])")
        if temperature < 0 or not 0 <= dot_from < 1:
            raise ValueError(f"temperature {temperature}, dot_from {dot_from}: choose 0 or more, and 0 to below 1")
        u = self.uniform(noise, len(text))                                             # (B, 1 + K)
        prefix = self.prefix(text if guidance == 1 else Text.cat(empty.repeat(len(text)), text))
        ids = torch.zeros(len(u), self.config.components, dtype=torch.long, device=u.device)
        token, drawn = self.draw_dot(u[:, :1], dot_from), torch.zeros_like(ids, dtype=torch.bool)
        for k in range(self.config.components):
            logits, prefix = self.read(token.repeat(1 if guidance == 1 else 2, 1), prefix, first=k)
            token = pick(guide(logits[:, -1], guidance), u[:, k + 1, None], temperature)  # (B, 1)
            ids[:, k], drawn[:, k] = token[:, 0], True
            x = self.dequantise(ids) * drawn                                            # (B, K)
            yield Step(x, x, self.config.components - 1 - k)

    def draw(self, text: Text, noise: Iterable[Tensor], **options) -> Tensor:
        """The z_i at the end of `stream`: raw, (B, D)."""
        return self.unwhiten(last(self.stream(text, noise, **options)))

    def uniform(self, noise: Iterable[Tensor], rows: int) -> Tensor:
        """A normal number's own distribution function makes it uniform, so both priors take the same kind of noise."""
        normal, shape = next(iter(noise), None), (rows, 1 + self.config.components)
        if normal is None or normal.shape != shape:
            raise ValueError(f"the AR prior's noise is {None if normal is None else tuple(normal.shape)}, not {shape}")
        return torch.special.ndtr(normal.to(self.device, torch.float32))

    def draw_dot(self, u: Tensor, dot_from: float) -> Tensor:
        """A token of the upper dot buckets, all equally likely: u (B, 1) in 0 .. 1 -> (B, 1)."""
        n = self.config.dot_buckets
        lowest = min(math.ceil(dot_from * n), n - 1)
        return self.config.buckets + (lowest + u * (n - lowest)).long().clamp(max=n - 1)


def dot(z_i: Tensor, z_t: Tensor) -> Tensor:
    """z_i . z_t of each pair, (B,), both of length 1: CLIP's own measure of a good fit."""
    return torch.cosine_similarity(z_i.float(), z_t.float(), dim=-1)


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """The mean cross-entropy of c_1, ..., c_K in nats, (B,): logits (B, K, buckets), tokens (B, 1 + K) with the dot."""
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(dim=1)


def guide(logits: Tensor, guidance: float) -> Tensor:
    """(2 B, n), without the caption and then with it -> (B, n) guided; guidance 1: (B, n) as they are."""
    if guidance == 1:
        return logits.float()
    without, with_caption = logits.float().chunk(2)
    return without + guidance * (with_caption - without)


def pick(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """The bucket where the cumulative probability reaches u: logits (B, n), u (B, 1) in 0 .. 1 -> (B, 1)."""
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    cumulative = (logits / temperature).softmax(dim=-1).cumsum(dim=-1)                  # (B, n)
    return torch.searchsorted(cumulative, u * cumulative[:, -1:])
