"""Every release that this library knows: where it lies, at which commit, which of its files draw, and how large it is.

Nothing else in the library names a repository of weights. What is fetched is pinned by its commit, and each file is
compared with the SHA-256 that the hub has for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

PIPELINE = "diffusion_pytorch_model"        # what diffusers calls a file of weights


@dataclass(frozen=True)
class Release:
    """Where a model lies, and what of it is needed."""

    name: str                               # short
    about: str                              # who made it, and when
    repository: str                         # on the Hugging Face hub
    commit: str                             # all 40 digits: what lies under them cannot change
    gigabytes: float                        # of the files together
    files: tuple[str, ...]
    licence: str                            # its name, and where it can be read
    use: str                                # how to use a copy of the repository's folders
    elsewhere: str                          # who else has the weights, should the repository be gone
    numbers: dict[str, int] = field(default_factory=dict)   # of each file of weights that we halve, how many it has
    halved: int = 0                         # numbers in files of weights that are in half precision already

    @property
    def half(self) -> float:
        """Gigabytes when its weights are in half precision."""
        return 2 * (sum(self.numbers.values()) + self.halved) / 1e9

    @property
    def peak(self) -> float:
        """Gigabytes at most while they are fetched and halved, one file at a time."""
        files = [(4 * count, 2 * count) for count in sorted(self.numbers.values(), reverse=True)]
        return (most_room(files) + 2 * self.halved) / 1e9


def most_room(files: list[tuple[int, int]]) -> int:
    """Bytes at most, when one file after the other comes in full and stays in half: (bytes, bytes) of each.

    The largest ones first need the least room, for what comes in full then finds the fewest others.
    """
    kept, most = 0, 0
    for full, half in files:
        most = max(most, kept + full + half)
        kept += half
    return most


# Files of weights, and how many numbers each has: the published configs, counted (tests/parity/test_full_size.py).
KARLO = {
    f"prior/{PIPELINE}.safetensors": 1_022_030_080, f"decoder/{PIPELINE}.safetensors": 885_439_686,
    f"super_res_first/{PIPELINE}.safetensors": 691_579_523, f"super_res_last/{PIPELINE}.safetensors": 691_579_523,
    "text_encoder/model.safetensors": 123_650_304, f"text_proj/{PIPELINE}.safetensors": 7_878_400,
}  # fmt: skip


def karlo_files() -> tuple[str, ...]:
    """Of Karlo what draws: its tokenizer is CLIP's, which we have."""
    schedulers = (f"{name}_scheduler/scheduler_config.json" for name in ("prior", "decoder", "super_res"))
    return *KARLO, *(f"{file.rpartition('/')[0]}/config.json" for file in KARLO), *schedulers


# The same of Kandinsky's two repositories; the image encoder is in float16 there.
KANDINSKY_PRIOR = {f"prior/{PIPELINE}.safetensors": 1_026_225_920, "text_encoder/model.safetensors": 694_659_840}
KANDINSKY_DECODER = {f"unet/{PIPELINE}.safetensors": 1_253_057_288, f"movq/{PIPELINE}.safetensors": 67_832_495}
KANDINSKY_IMAGE = {"image_encoder/model.safetensors": 1_844_907_264}


def kandinsky_files(weights: dict[str, int]) -> tuple[str, ...]:
    """Of one of the repositories what draws."""
    configs = (f"{file.rpartition('/')[0]}/config.json" for file in weights)
    return *weights, *configs, "scheduler/scheduler_config.json"


def upscaler_files(precision: str) -> tuple[str, ...]:
    """Of Stable Diffusion's x4 upscaler. precision: "" for float32, ".fp16" for half of it."""
    weights = {"text_encoder": "model", "unet": PIPELINE, "vae": PIPELINE}
    tokenizer = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
    return (
        "model_index.json", "scheduler/scheduler_config.json", "low_res_scheduler/scheduler_config.json",
        *(f"tokenizer/{file}" for file in tokenizer),
        *(f"{name}/config.json" for name in weights),
        *(f"{name}/{stem}{precision}.safetensors" for name, stem in weights.items()),
    )  # fmt: skip


# Karlo has the name that `load` knows. No copy of Karlo is known to us; `fetch --from` takes one.
RELEASES = {"karlo": Release(
    "karlo", "Karlo v1 alpha, Kakao Brain 2022",
    "kakaobrain/karlo-v1-alpha", "5ee45298e0956749e621bcb30c799a0b599afa83", 13.7, karlo_files(),
    licence="CreativeML Open RAIL-M, which forbids some uses: huggingface.co/spaces/CompVis/stable-diffusion-license",
    use="give their path in place of the name",
    elsewhere="Its makers' own checkpoints, which minunclip reads, too, are named at github.com/kakaobrain/karlo",
    numbers=KARLO,
)}  # fmt: skip
# A cascade in two repositories. Both names together are what `load` and `fetch` call kandinsky.
KANDINSKY = {part: Release(
    f"kandinsky/{part}", "Kandinsky 2.2, Sber AI 2023",
    f"kandinsky-community/kandinsky-2-2-{part}", commit, gigabytes, files,
    licence="Apache 2.0: apache.org/licenses/LICENSE-2.0",
    use="give the path of the folder that they are in, beside each other, in place of the name",
    elsewhere="Its makers tell of their weights at github.com/ai-forever/Kandinsky-2",
    numbers=numbers, halved=halved,
) for part, commit, gigabytes, files, numbers, halved in (
    ("prior", "40cd65123bb828e5641b118b77b38be1aee69891", 10.6, kandinsky_files(KANDINSKY_PRIOR | KANDINSKY_IMAGE),
     KANDINSKY_PRIOR, sum(KANDINSKY_IMAGE.values())),
    ("decoder", "d44c9d68c2f00918a802d8ccefc6d252a51b6b91", 5.3, kandinsky_files(KANDINSKY_DECODER),
     KANDINSKY_DECODER, 0),
)}  # fmt: skip
UPSCALERS = {variant: Release(
    "upscaler" if variant else "upscaler-float32", "Stable Diffusion's x4 upscaler, Stability AI 2022",
    "stabilityai/stable-diffusion-x4-upscaler", "572c99286543a273bfd17fac263db5a77be12c4c", gigabytes,
    upscaler_files(f".{variant}" if variant else ""),
    licence="CreativeML Open RAIL++-M, which forbids some uses: its repository has the text",
    use="pass their path to Upscaler.from_pretrained",
    elsewhere="Look for a copy at huggingface.co/sd2-community, where what its makers withdrew is kept",
) for variant, gigabytes in {None: 3.5, "fp16": 1.7}.items()}  # fmt: skip


# What a cascade is made of, by the names that `load` knows.
CASCADES = {"karlo": tuple(RELEASES.values()), "kandinsky": tuple(KANDINSKY.values())}


def least_room(releases: Iterable[Release]) -> list[Release]:
    """In the order in which fetching them takes the least room on the way."""
    return sorted(releases, key=lambda release: release.half - release.peak)


def releases_of(name: str) -> tuple[Release, ...]:
    """What the cascade of this short name, or of the name of one of its repositories, is made of; () for no cascade."""
    for short, releases in CASCADES.items():
        if name == short or name in [release.repository for release in releases]:
            return releases
    return ()
