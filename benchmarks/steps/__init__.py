"""The standing suite of training steps: one file per workload, each written for us, for torch and for JAX."""

from steps.attention import Attention
from steps.bert import BERT
from steps.cnn import CNN
from steps.gpt import GPT
from steps.lstm import LSTM
from steps.mlp import MLP, TinyMLP
from steps.resnet import ResNetBlock
from steps.workload import Workload

WORKLOADS: dict[str, Workload] = {
    "gpt-4x128": GPT(),
    "gpt-6x384": GPT(layers=6, width=384, heads=6, context=256, batch=4),
    "cnn": CNN(),
    "lstm": LSTM(),
    "mlp-tiny": TinyMLP(),
    "mlp": MLP(),
    "mlp-wide": MLP(widths=(1024, 4096, 4096, 10), batch=64, lr=2e-5),
    "attention": Attention(),
    "bert": BERT(),
    "resnet-block": ResNetBlock(),
}
