"""A whole cascade from its weight files: ours, or released ones under other names, in one of three memory modes.

May import: the paper's parts, and the rooms below them.
"""

from .cascade import is_kandinsky, is_ours, load, working_memory
from .diffusers_folder import PRIOR, decoder_part, prior_part, upsampler_part
from .fetching import Done, cached, fetching
from .kakao_checkpoints import DEFAULT
from .kandinsky import KANDINSKY, Kandinsky
from .kandinsky_decoder import KandinskyConfig, KandinskyDecoder
from .late_upscaler import LateUpscaler
from .lazy import LazyStage, Weightless, network_of
from .names import translate
from .offload import MODES
from .openai_clip import load_open_clip, load_openai_clip
from .random_karlo import NARROW, write_karlo
from .released import FallbackWarning
from .releases import CASCADES, RELEASES, UPSCALERS, Release, least_room, releases_of
from .store import Store
from .upscaler import Upscaler, check_extra, release_for

__all__ = [
    "CASCADES", "DEFAULT", "Done", "FallbackWarning", "KANDINSKY", "Kandinsky", "KandinskyConfig", "KandinskyDecoder",
    "LateUpscaler", "LazyStage", "MODES", "NARROW", "PRIOR", "RELEASES", "Release", "Store", "UPSCALERS", "Upscaler",
    "Weightless", "cached", "check_extra", "decoder_part", "fetching", "is_kandinsky", "is_ours", "least_room", "load",
    "load_open_clip", "load_openai_clip", "network_of", "prior_part", "release_for", "releases_of", "translate",
    "upsampler_part", "working_memory", "write_karlo",
]  # fmt: skip
