"""Arrays shared with other libraries without a copy."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_lm as tg


def test_both_ways_with_torch_share_memory() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    theirs = torch.arange(6.0).reshape(2, 3)
    ours = tg.from_dlpack(theirs)
    theirs[0, 0] = 7.0
    assert isinstance(ours, tg.Tensor) and ours.data[0, 0] == 7.0 and ours.dtype == np.float32
    mine = tg.Tensor(np.arange(4, dtype=np.float64))
    back = torch.from_dlpack(mine)
    mine.data[1] = -1.0
    assert back[1] == -1.0 and back.dtype == torch.float64
    back[2] = 5.0
    assert mine.data[2] == 5.0
    turned = tg.from_dlpack(theirs.T)
    assert turned.shape == (3, 2) and turned.data.strides == (4, 12)  # as it lies


def test_numpys_own() -> None:
    a = np.zeros((2, 2))
    t = tg.from_dlpack(a)
    a[1, 1] = 3.0
    assert t.data[1, 1] == 3.0 and np.shares_memory(np.from_dlpack(t), a)
    assert t.__dlpack_device__() == (1, 0)


def test_what_cannot_be_shared() -> None:
    with pytest.raises(TypeError, match=r"from_dlpack: list has no __dlpack__; make a Tensor of it"):
        tg.from_dlpack([1.0])
    with pytest.raises(BufferError, match=r"requires a gradient, which DLPack cannot carry: pass \.detach\(\)"):
        np.from_dlpack(tg.Tensor([1.0], requires_grad=True))

    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 8, 0

    with pytest.raises(ValueError, match="expected an array on the CPU or a CUDA GPU, got DLPack device 8"):
        tg.from_dlpack(Elsewhere())


def test_an_array_of_a_gpu_stays_there(gpu) -> None:
    class There:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

    seen = []
    gpu.from_dlpack = lambda x: seen.append(x) or gpu.asarray([1.0])
    x = There()
    t = tg.from_dlpack(x)
    assert seen == [x] and t.device == "cuda"
