import dataclasses
import itertools

import numpy as np
import pytest

import tinygrad_lm as tg
from tinygrad_lm.models import GPT, GPTConfig, generate
from tinygrad_lm.models.gpt import choose

F64 = np.float64
SMALL = GPTConfig(vocab_size=11, context=8, layers=2, heads=2, width=12)


def model(dtype=F64, **settings):
    return GPT(dataclasses.replace(SMALL, **settings), tg.Generator(1), dtype)


def ids(*shape, seed=2):
    return tg.Generator(seed).integers(0, SMALL.vocab_size, shape)


# ---- what it computes ------------------------------------------------------------------------------------------------


def torch_loss(torch, weights, tokens, targets, config):
    """The same model by hand, from torch's plain functions."""
    F = torch.nn.functional
    (B, T), C, H = tokens.shape, config.width, config.heads

    def linear(x, name):
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(x, name):
        return F.layer_norm(x, (C,), weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    x = weights["tokens.weight"][tokens] + weights["positions.weight"][:T]
    for i in range(config.layers):
        qkv = linear(norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attention.qkv")
        q, k, v = (part.view(B, T, H, C // H).transpose(1, 2) for part in qkv.split(C, dim=2))
        scores = q @ k.transpose(2, 3) / (C // H) ** 0.5
        scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -torch.inf)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C)
        x = x + linear(y, f"blocks.{i}.attention.output")
        hidden = F.gelu(linear(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.expand"), approximate="tanh")
        x = x + linear(hidden, f"blocks.{i}.contract")
    logits = norm(x, "norm") @ weights["tokens.weight"].T
    return F.cross_entropy(logits.reshape(B * T, -1), targets.reshape(-1))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("T", [5, 8])
def test_loss_and_all_gradients_equal_a_torch_gpt_with_the_same_weights(bias, T):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    gpt, source = model(bias=bias), tg.Generator(5)
    for p in gpt.parameters():  # nothing at zero or one, where a mistake could hide
        p.data += 0.3 * source.normal(p.shape, F64)
    weights = {n: torch.tensor(v, requires_grad=True) for n, v in gpt.state_dict().items()}
    tokens, targets = ids(3, T), ids(3, T, seed=3)
    targets[0, :2] = -100
    loss = gpt.loss(tokens, targets)
    expected = torch_loss(torch, weights, torch.tensor(tokens), torch.tensor(targets), gpt.config)
    loss.backward()
    expected.backward()
    assert abs(loss.item() - expected.item()) < 1e-10
    assert len(weights) == len(list(gpt.parameters()))
    for name, p in gpt.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), weights[name].grad.numpy(), rtol=0, atol=1e-8, err_msg=name)


def test_it_learns_one_batch_by_heart():
    gpt = model(np.float32, width=32)
    optimizer = tg.optim.AdamW(tg.optim.decay_groups(gpt.parameters(), 0.1), lr=1e-2)
    tokens, targets = ids(4, 8), ids(4, 8, seed=3)
    start = gpt.loss(tokens, targets).item()
    assert abs(start - np.log(11)) < 0.1  # it begins with no opinion
    for _ in range(80):
        loss = gpt.loss(tokens, targets)
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(gpt.parameters(), 1.0)
        optimizer.step()
    assert loss.item() < 0.1


def test_a_position_does_not_see_later_ones():
    gpt, a = model(), ids(1, 8)
    b = a.copy()
    b[0, 5] = (b[0, 5] + 1) % 11
    before, after = gpt(a).detach().numpy()[0], gpt(b).detach().numpy()[0]
    np.testing.assert_array_equal(before[:5], after[:5])
    assert (before[5:] != after[5:]).any(axis=1).all()


def test_initial_values():
    gpt = GPT(GPTConfig(vocab_size=300, layers=8, width=64, bias=True), tg.Generator(3))
    for name, p in gpt.named_parameters():
        if name.endswith("bias"):
            assert (p.data == 0).all(), name
        elif p.ndim == 1:
            assert (p.data == 1).all(), name
        else:
            std = 0.005 if name.endswith(("attention.output.weight", "contract.weight")) else 0.02  # 0.02 / sqrt(16)
            assert abs(p.data.std() / std - 1) < 0.06, name
    again = GPT(gpt.config, tg.Generator(3))
    assert all((a.data == b.data).all() for a, b in zip(gpt.parameters(), again.parameters(), strict=True))


def test_counts():
    gpt = model()
    block = 12 + 3 * 12 * 12 + 12 * 12 + 12 + 2 * 4 * 12 * 12
    assert gpt.num_parameters() == 11 * 12 + 8 * 12 + 2 * block + 12
    products = 2 * 12 * 12 * 12 + 11 * 12
    assert gpt.flops_per_token() == 6 * products + 2 * 3 * (4 * 8 * 12)
    assert GPT(GPTConfig(vocab_size=65)).num_parameters() == 804_096


def test_repr_writes_equal_blocks_once():
    lines = repr(GPT(dataclasses.replace(SMALL, layers=5))).splitlines()
    assert lines[0] == "GPT: 9,000 parameters" and len(lines) == 16
    assert "    0 to 4, each: Block: 1,752 parameters" in lines


def test_dropout_is_on_in_training_only_and_repeats_with_its_generator():
    def two_losses(seed):
        generator = tg.Generator(seed)
        gpt = GPT(dataclasses.replace(SMALL, dropout=0.3), generator)
        return [gpt.loss(ids(2, 8), ids(2, 8)).item() for _ in range(2)], gpt

    (a, b), gpt = two_losses(1)
    assert a != b and two_losses(1)[0] == [a, b]
    source, before = gpt.dropout.generator, gpt.dropout.generator.stream
    gpt(ids(2, 8))
    assert source.stream - before == 1 + 2 * SMALL.layers  # one mask for the embeddings, two for every block
    gpt.eval()
    assert gpt.loss(ids(2, 8), ids(2, 8)).item() == gpt.loss(ids(2, 8), ids(2, 8)).item()


# ---- key/value cache and generation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [[8], [1] * 8, [3, 1, 4], [6, 1, 1]])
def test_cached_logits_equal_uncached_ones(cuts):
    gpt, tokens = model(np.float32).eval(), ids(2, 8)
    for p in gpt.parameters():
        p.data *= 5
    cache = gpt.new_cache()
    with tg.no_grad():
        expected = gpt(tokens).numpy()
        pieces = [gpt(piece, cache).numpy() for piece in np.split(tokens, np.cumsum(cuts)[:-1], axis=1)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, atol=1e-4)


def greedy_without_cache(gpt, prompt, tokens):
    """The best id after the last `context` ids, read anew every time."""
    text = list(prompt)
    with tg.no_grad():
        for _ in range(tokens):
            text.append(int(gpt(np.array([text[-gpt.config.context :]])).numpy()[0, -1].argmax()))
    return text[len(prompt) :]


@pytest.mark.parametrize("length", [1, 3, 7, 8, 9, 20])
def test_generation_equals_reading_the_window_anew(length):
    gpt, prompt = model(), ids(length, seed=length)
    for p in gpt.parameters():  # opinions that differ from each other
        p.data += tg.Generator(length).normal(p.shape, F64)
    expected = greedy_without_cache(gpt, prompt, 15)
    assert list(generate(gpt, prompt, 15, temperature=0)) == expected
    assert list(generate(gpt, prompt, 15, top_k=1, generator=tg.Generator(1))) == expected
    assert list(generate(gpt, prompt, 15, top_p=1e-9, generator=tg.Generator(1))) == expected
    assert len(set(expected)) > 1


def test_generation_repeats_with_its_generator_and_streams():
    gpt, prompt = model(), ids(4)

    def draw(seed):
        return list(generate(gpt, prompt, 12, 1.3, top_k=9, top_p=0.9, generator=tg.Generator(seed)))

    assert draw(1) == draw(1) != draw(2)
    stream = generate(gpt, prompt, 10**9)
    assert all(type(i) is int and 0 <= i < 11 for i in itertools.islice(stream, 3))
    assert list(generate(gpt, prompt, 0)) == []


def test_generation_leaves_modes_as_they_were_between_tokens():
    gpt = model(dropout=0.5)
    gpt.blocks[0].dropout.training = False
    stream = generate(gpt, ids(4), 3, temperature=0)
    drawn = next(stream)
    assert gpt.training and gpt.dropout.training and not gpt.blocks[0].dropout.training
    assert gpt(ids(1, 2)).requires_grad  # recording is on again
    assert [drawn, *stream] == list(generate(gpt.eval(), ids(4), 3, temperature=0))
    assert not gpt.dropout.training


def frequencies(logits, n=1000, **settings):
    source = tg.Generator(1)
    settings = {"temperature": 1.0, "top_k": None, "top_p": None, **settings}
    drawn = [choose(np.log(np.array(logits)), source=source, **settings) for _ in range(n)]
    return np.bincount(drawn, minlength=len(logits)) / n


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.1, 0.4, 0.2, 0.3]),
        ({"temperature": 0.5}, [1 / 30, 16 / 30, 4 / 30, 9 / 30]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_k": 100}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_p": 0.65}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_p": 0.39}, [0, 1, 0, 0]),
        ({"top_p": 0.75}, [0, 4 / 9, 2 / 9, 3 / 9]),
        ({"top_p": 1.0}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_k": 2, "top_p": 0.56}, [0, 1, 0, 0]),  # of the two, the first has 4/7 = 0.57
    ],
)
def test_draws_follow_temperature_top_k_and_top_p(settings, expected):
    found = frequencies([0.1, 0.4, 0.2, 0.3], **settings)
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert all(f == 0 for f, e in zip(found, expected, strict=True) if e == 0)


def test_exactly_k_are_kept_among_equals():
    assert (frequencies([0.25, 0.25, 0.25, 0.25], top_k=2) > 0).tolist() == [True, True, False, False]


# ---- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be a whole number above 0, got 0"),
        ({"layers": -1}, "layers must be a whole number above 0, got -1"),
        ({"context": 2.5}, "context must be a whole number above 0, got 2.5"),
        ({"heads": 5}, "heads must divide width, got 5 heads and width 12"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1, got 1.0"),
    ],
)
def test_a_shape_that_cannot_be_built(settings, message):
    with pytest.raises(ValueError, match=f"^GPTConfig: {message}$"):
        dataclasses.replace(SMALL, **settings)


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([[0, 11]], IndexError, "11.* rows 0 to 10"),
        ([[0, -1]], IndexError, "-1.* rows 0 to 10"),
        ([list(range(9))], ValueError, "^GPT: 9 positions do not fit a context of 8; pass the last 8 only"),
        ([0, 1], ValueError, r"^GPT: ids must have the shape \(batch, positions\), got \(2,\)"),
        ([[0.5]], TypeError, "integers, got float64"),
    ],
)
def test_ids_that_cannot_be_read(tokens, error, message):
    with pytest.raises(error, match=message) as caught:
        model()(tokens)
    assert "\n" not in str(caught.value) and caught.value.__notes__[0].startswith("in GPT")


def test_a_full_cache_is_refused():
    gpt = model()
    cache = gpt.new_cache()
    with tg.no_grad():
        gpt(ids(1, 8), cache)
        with pytest.raises(ValueError, match="9 positions do not fit a context of 8"):
            gpt(ids(1, 1), cache)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": []}, r"ids must be a row of whole numbers, got float64 \(0,\)"),
        ({"ids": [[1, 2]]}, r"ids must be a row of whole numbers, got int64 \(1, 2\)"),
        ({"tokens": -1}, "tokens and temperature must be at least 0, got -1 and 1.0"),
        ({"temperature": -0.5}, "tokens and temperature must be at least 0, got 1 and -0.5"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
    ],
)
def test_generation_refuses_nonsense_at_once(arguments, message):
    with pytest.raises(ValueError, match=f"^generate: {message}$"):
        generate(model(), **{"ids": [1], "tokens": 1, "temperature": 1.0, **arguments})
