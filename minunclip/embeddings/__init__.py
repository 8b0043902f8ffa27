"""Statistics of embeddings: principal components, whitening, and ways along a sphere.

May import: common.
"""

from .pca import PCA
from .sphere import lengths, rows, slerp
from .whitening import PCAWhitening, Whitening, centre_and_spread, typical_length

__all__ = ["PCA", "PCAWhitening", "Whitening", "centre_and_spread", "lengths", "rows", "slerp", "typical_length"]
