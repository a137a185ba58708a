"""Serves two models with Triton: serve.py HTTP-PORT GRPC-PORT METRICS-PORT.

`double` gives each number twice; `count` answers one request with as many answers as it says.
"""
import signal
import sys

import numpy
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

http_port, grpc_port, metrics_port = (int(port) for port in sys.argv[1:])


@batch
def double(x):
    return [x * 2]


@batch
def count(x):
    for number in range(int(x[0, 0])):
        yield [numpy.array([[number]], numpy.float32)]


config = TritonConfig(
    http_address="127.0.0.1", http_port=http_port, grpc_address="127.0.0.1", grpc_port=grpc_port,
    metrics_address="127.0.0.1", metrics_port=metrics_port)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with Triton(config=config) as triton:
    for name, function, length, decoupled in (("double", double, -1, False), ("count", count, 1, True)):
        triton.bind(
            name, function, inputs=[Tensor(name="x", dtype=numpy.float32, shape=(length,))],
            outputs=[Tensor(name="y", dtype=numpy.float32, shape=(length,))],
            config=ModelConfig(max_batch_size=8, decoupled=decoupled))
    triton.run()
    signal.pause()
