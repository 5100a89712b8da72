"""Train a small GPT in Python: the loop that `tinygrad-lm train` runs, without its comforts.

python examples/train_a_gpt.py [TEXT_FILE] [STEPS]
"""

import sys
from pathlib import Path
from pydoc_data.topics import topics  # the Python language reference, which ships with Python

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm.models import GPT, GPTConfig, generate


def main():
    text = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else "\n".join(topics.values())
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    characters = sorted(set(text))
    ids = np.array([characters.index(c) for c in text[:200_000]])
    batch, context = 8, 32

    generator = tg.Generator(seed=1)
    model = GPT(GPTConfig(len(characters), context=context, layers=2, heads=2, width=64), generator)
    optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3)
    print(f"{model.num_parameters():,} parameters, {len(ids):,} characters, {len(characters)} different ones")

    for step in range(steps + 1):
        starts = generator.integers(0, len(ids) - context, (batch,))
        window = ids[starts[:, None] + np.arange(context + 1)]  # (batch, context + 1)
        loss = model.loss(window[:, :-1], window[:, 1:])
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 20 == 0:
            print(f"step {step:4}   loss {loss.item():.3f}")

    prompt = ids[:8]
    drawn = generate(model, prompt, tokens=100, temperature=0.8, generator=generator)
    print("".join(characters[i] for i in [*prompt, *drawn]))


if __name__ == "__main__":
    main()
