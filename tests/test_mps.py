"""What Apple's MPS cannot do happens on the CPU. MPS is played by tensors that refuse as it does."""

import pytest
import torch
import torch.nn.functional as F
from helpers import normal
from torch import Tensor

from minunclip.embeddings import PCA
from minunclip.evaluation import frechet_distance, inside
from minunclip.upsampler import upsample


class OnMps(Tensor):
    """Refuses float64, and antialiased resizing as before PyTorch 2.8; `cpu()` makes it an ordinary tensor."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        options = options or {}
        if function is Tensor.cpu:
            return arguments[0].as_subclass(Tensor)
        if function is Tensor.double or any(x is torch.float64 for x in (*arguments, *options.values())):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        if function is F.interpolate and options.get("antialias"):
            raise NotImplementedError("The operator 'aten::_upsample_bicubic2d_aa.out' is not implemented for MPS")
        return super().__torch_function__(function, types, arguments, options)


def on_mps(*tensors):
    return [tensor.as_subclass(OnMps) for tensor in tensors]


def test_these_tensors_refuse():
    (x,) = on_mps(normal(2, 3, 4, 4))
    for refused in (lambda: x.double(), lambda: x.to(torch.float64), lambda: x.to(dtype=torch.float64)):
        with pytest.raises(TypeError, match="float64"):
            refused()
    with pytest.raises(NotImplementedError):
        F.interpolate(x, 8, mode="bicubic", antialias=True)
    assert type(x + 1) is OnMps and type(x.cpu()) is Tensor


def test_distances():
    x, y = normal(20, 4), normal(30, 4, seed=2)
    assert frechet_distance(*on_mps(x, y)) == frechet_distance(x, y)
    assert torch.equal(inside(*on_mps(x, y)), inside(x, y))


def test_principal_components():
    z = normal(20, 4)
    pca = PCA.fit(z)
    assert torch.equal(PCA.fit(*on_mps(z)).basis, pca.basis)
    assert PCA(*on_mps(pca.mean, pca.basis, pca.variances)).components_for(0.9) == pca.components_for(0.9)


def test_enlarging():
    low = normal(2, 3, 8, 8)
    assert torch.equal(upsample(*on_mps(low), 32), upsample(low, 32))
    assert torch.equal(upsample(*on_mps(low.half()), 32), upsample(low.half(), 32))
