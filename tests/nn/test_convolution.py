import math

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm import nn

F64 = np.float64


def numbers(*shape):
    return tg.Generator(3).normal(shape, F64)


def pairs(t):
    """(ours, torch's, x) by name."""
    f64 = t.float64
    t = t.nn
    line, image, volume = numbers(2, 4, 9), numbers(2, 4, 9, 8), numbers(2, 4, 5, 4, 6)
    wide = {"dtype": F64}
    return {
        "conv1d": (nn.Conv1d(4, 6, 3, 2, 1, **wide), t.Conv1d(4, 6, 3, 2, 1, dtype=f64), line),
        "conv2d": (
            nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, **wide),
            t.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, dtype=f64),
            image,
        ),
        "same": (nn.Conv2d(4, 3, 3, padding="same", **wide), t.Conv2d(4, 3, 3, padding="same", dtype=f64), image),
        "depthwise": (
            nn.Conv2d(4, 4, 3, groups=4, bias=False, **wide),
            t.Conv2d(4, 4, 3, groups=4, bias=False, dtype=f64),
            image,
        ),
        "conv3d": (nn.Conv3d(4, 2, 2, **wide), t.Conv3d(4, 2, 2, dtype=f64), volume),
        "unbatched": (nn.Conv2d(4, 2, 3, **wide), t.Conv2d(4, 2, 3, dtype=f64), image[0]),
        "up1d": (nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, **wide), t.ConvTranspose1d(4, 6, 3, 2, 1, 1, dtype=f64), line),
        "up2d": (
            nn.ConvTranspose2d(4, 6, 3, 2, 1, (1, 0), 2, False, 2, **wide),
            t.ConvTranspose2d(4, 6, 3, 2, 1, (1, 0), 2, False, 2, dtype=f64),
            image,
        ),
        "up3d": (nn.ConvTranspose3d(4, 2, 2, 2, **wide), t.ConvTranspose3d(4, 2, 2, 2, dtype=f64), volume),
        "max1d": (nn.MaxPool1d(3, 2, 1), t.MaxPool1d(3, 2, 1), line),
        "max2d": (
            nn.MaxPool2d((3, 2), dilation=2, ceil_mode=True),
            t.MaxPool2d((3, 2), None, 0, 2, ceil_mode=True),
            image,
        ),
        "max3d": (nn.MaxPool3d(2), t.MaxPool3d(2), volume),
        "avg1d": (nn.AvgPool1d(3, 2, 1), t.AvgPool1d(3, 2, 1), line),
        "avg2d": (nn.AvgPool2d(3, 2, 1, True, False), t.AvgPool2d(3, 2, 1, True, False), image),
        "avg3d": (nn.AvgPool3d(2), t.AvgPool3d(2), volume),
        "adaptive avg1d": (nn.AdaptiveAvgPool1d(4), t.AdaptiveAvgPool1d(4), line),
        "adaptive avg2d": (nn.AdaptiveAvgPool2d((None, 3)), t.AdaptiveAvgPool2d((None, 3)), image),
        "adaptive avg3d": (nn.AdaptiveAvgPool3d(1), t.AdaptiveAvgPool3d(1), volume),
        "adaptive max1d": (nn.AdaptiveMaxPool1d(4), t.AdaptiveMaxPool1d(4), line),
        "adaptive max2d": (nn.AdaptiveMaxPool2d((5, 3)), t.AdaptiveMaxPool2d((5, 3)), image),
        "adaptive max3d": (nn.AdaptiveMaxPool3d(2), t.AdaptiveMaxPool3d(2), volume),
        "upsample": (nn.Upsample(scale_factor=2, mode="bilinear"), t.Upsample(scale_factor=2, mode="bilinear"), image),
        "corners": (
            nn.Upsample((5, 7), mode="bilinear", align_corners=True),
            t.Upsample((5, 7), mode="bilinear", align_corners=True),
            image,
        ),
        "nearest": (nn.Upsample(13), t.Upsample(13), line),
        "shuffle": (nn.PixelShuffle(2), t.PixelShuffle(2), image),
        "unshuffle": (nn.PixelUnshuffle(3), t.PixelUnshuffle(3), numbers(2, 1, 6, 9)),
        "zeros around": (nn.Pad(((1, 2), (0, 3))), t.ZeroPad2d((0, 3, 1, 2)), image),
        "mirror": (nn.Pad(2, "reflect"), t.ReflectionPad2d(2), image),
        "flatten": (nn.Flatten(), t.Flatten(), image),
        "flatten some": (nn.Flatten(-2, -1), t.Flatten(-2, -1), image),
    }


def test_layers_equal_torch_with_the_same_parameters():
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    for name, (ours, theirs, x) in pairs(torch).items():
        theirs.load_state_dict({n: torch.tensor(v) for n, v in ours.state_dict().items()})
        a, b = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, expected = ours(a), theirs(b)
        np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-10, atol=1e-12, err_msg=name)
        (y * y).sum().backward()
        (expected * expected).sum().backward()
        np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=name)
        for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            where = f"{name}: {key}"
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=where)


@pytest.mark.parametrize(
    ("make", "shape", "fan_in"),
    [
        (lambda g: nn.Conv1d(50, 60, 3, generator=g), (60, 50, 3), 150),
        (lambda g: nn.Conv2d(40, 20, 3, groups=2, generator=g), (20, 20, 3, 3), 180),
        (lambda g: nn.ConvTranspose2d(40, 20, 3, groups=2, generator=g), (40, 10, 3, 3), 90),
    ],
)
def test_initial_values_are_uniform_in_the_documented_range(make, shape, fan_in):
    layer, again, other = make(tg.Generator(1)), make(tg.Generator(1)), make(tg.Generator(2))
    bound = 1 / math.sqrt(fan_in)
    assert layer.weight.shape == shape and layer.weight.dtype == np.float32
    assert 0.98 * bound < abs(layer.weight.data).max() <= bound and 0.5 * bound < abs(layer.bias.data).max() <= bound
    assert abs(layer.weight.data.std() / (bound / math.sqrt(3)) - 1) < 0.05
    np.testing.assert_array_equal(layer.weight.data, again.weight.data)
    assert (layer.weight.data != other.weight.data).any()


def test_what_layers_show_of_themselves():
    shown = {
        "Conv2d(3, 8, (3, 3))": nn.Conv2d(3, 8, 3),
        "Conv2d(4, 8, (3, 1), stride=(2, 2), padding=(1, 0), dilation=(2, 1), groups=2, bias=False)": nn.Conv2d(
            4, 8, (3, 1), 2, (1, 0), (2, 1), 2, False
        ),
        "ConvTranspose1d(2, 3, (4,), stride=(2,), padding=(1,), output_padding=(1,))": nn.ConvTranspose1d(
            2, 3, 4, 2, 1, 1
        ),
        "MaxPool2d((2, 2))": nn.MaxPool2d(2),
        "MaxPool2d((3, 3), stride=(2, 2), padding=(1, 1), ceil_mode=True)": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        "AvgPool1d((2,), count_include_pad=False)": nn.AvgPool1d(2, count_include_pad=False),
        "AdaptiveAvgPool2d(1)": nn.AdaptiveAvgPool2d(1),
        "Upsample(scale_factor=2, mode='nearest')": nn.Upsample(scale_factor=2),
        "PixelShuffle(2)": nn.PixelShuffle(2),
        "Pad((1, 0), mode='edge')": nn.Pad((1, 0), "edge"),
        "Flatten": nn.Flatten(),
        "Flatten(2, -1)": nn.Flatten(2),
    }
    assert [repr(layer).split(":")[0] for layer in shown.values()] == list(shown)


def test_state_is_weight_and_bias():
    layer, other = nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3)
    assert list(layer.state_dict()) == ["weight", "bias"] and layer.num_parameters() == 76
    other.load_state_dict(layer.state_dict())
    x = numbers(1, 2, 5, 5).astype(np.float32)
    y = layer(x)
    np.testing.assert_array_equal(y.data, other(x).data)
    assert y.dtype == np.float32 and list(nn.MaxPool2d(2).state_dict()) == []


def test_a_small_network_learns_to_tell_stripes_apart():
    generator = tg.Generator(0)
    x = generator.normal((64, 1, 8, 8), np.float32) * 0.5
    labels = np.arange(64) % 2
    x[labels == 0, :, ::2] += 1  # rows
    x[labels == 1, :, :, ::2] += 1  # columns
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, generator=generator),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, generator=generator),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2, generator=generator),
    )
    optimizer = tg.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        loss = tg.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(0, 3, 3), "Conv2d: inputs must be a whole number above 0, got 0"),
        (lambda: nn.Conv2d(3, 2.0, 3), "Conv2d: outputs must be a whole number above 0, got 2.0"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "Conv2d: kernel_size must be a whole number of at least 1 or 2 of them"),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), "Conv2d: stride must be .* got 0"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: groups must divide inputs and outputs, got 2 groups, 3 inputs"),
        (lambda: nn.ConvTranspose1d(4, 4, 3, padding=-1), "ConvTranspose1d: padding must be .* at least 0, got -1"),
        (lambda: nn.MaxPool2d(0), "MaxPool2d: kernel_size must be .* got 0"),
        (lambda: nn.AvgPool1d(2, stride=(1, 1)), r"AvgPool1d: stride must be .* got \(1, 1\)"),
        (lambda: nn.AdaptiveMaxPool2d((1, 0)), r"AdaptiveMaxPool2d: output_size must be .* got \(1, 0\)"),
        (lambda: nn.Upsample(), "Upsample: give size or scale_factor, got size=None, scale_factor=None"),
        (lambda: nn.PixelShuffle(0), "PixelShuffle: upscale_factor must be a whole number above 0, got 0"),
        (lambda: nn.Flatten(2, 1).forward(numbers(2, 3, 4)), r"Flatten: axes 2 to 1 are no axes of shape \(2, 3, 4\)"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=f"^{message}[^\n]*$"):
        make()
