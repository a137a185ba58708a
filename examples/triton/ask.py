"""Asks Triton with its own client, in each of its protocols.

    ask.py HOST:PORT TRUST-ROOT HTTP-KEYFILE GRPC-KEYFILE
"""
import queue
import ssl
import sys

import numpy
import tritonclient.grpc
import tritonclient.http

address, trust_root, http_key_file, grpc_key_file = sys.argv[1:]
numbers = numpy.array([[1, 2, 3]], numpy.float32)


def authorization(key_file):
    return {"authorization": f"Bearer {open(key_file).read().strip()}"}


def filled(module, values):
    tensor = module.InferInput("x", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    return tensor


def over_http():
    module, headers = tritonclient.http, authorization(http_key_file)
    client = module.InferenceServerClient(
        address, ssl=True,
        ssl_context_factory=lambda: ssl.create_default_context(cafile=trust_root))
    assert client.is_model_ready("double", headers=headers)
    for name, is_binary in (("JSON", False), ("binary", True)):
        tensor = module.InferInput("x", [1, 3], "FP32")
        tensor.set_data_from_numpy(numbers, binary_data=is_binary)
        output = module.InferRequestedOutput("y", binary_data=is_binary)
        answer = client.infer("double", [tensor], outputs=[output], headers=headers)
        assert (answer.as_numpy("y") == numbers * 2).all()
        print(f"HTTP, {name:7}", answer.as_numpy("y").tolist())
    client.close()


def over_grpc():
    module, headers = tritonclient.grpc, authorization(grpc_key_file)
    # The endpoint's host: without a name in DNS it is said here.
    client = module.InferenceServerClient(
        address, ssl=True, root_certificates=trust_root,
        channel_args=[("grpc.ssl_target_name_override", "grpc.example.com")])
    assert client.is_model_ready("double", headers=headers)
    answer = client.infer("double", [filled(module, numbers)], headers=headers)
    assert (answer.as_numpy("y") == numbers * 2).all()
    print("gRPC         ", answer.as_numpy("y").tolist())

    answers = queue.SimpleQueue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=headers)
    five = filled(module, numpy.array([[5]], numpy.float32))
    client.async_stream_infer("count", [five], enable_empty_final_response=True)
    counted = []
    while True:
        result, error = answers.get(timeout=20)
        if error:
            raise error
        if (number := result.as_numpy("y")) is not None and number.size:
            counted.append(number.item())
        if result.get_response().parameters["triton_final_response"].bool_param:
            break
    client.stop_stream()
    assert counted == [0, 1, 2, 3, 4], counted
    print("gRPC, stream ", counted)

    try:
        client.infer("double", [filled(module, numbers)], headers={"authorization": "Bearer x"})
        sys.exit("a wrong key was let in")
    except tritonclient.grpc.InferenceServerException as error:
        print("wrong key    ", error.status())
    client.close()


over_http()
over_grpc()
