"""A gRPC server of generic methods, for the end-to-end tests. Prints its port, then `cancelled` for
each call that its client gave up.

    grpc_backend.py                    over plain HTTP/2 on loopback
    grpc_backend.py CHAIN KEY ROOTS    over mutual TLS
"""
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def unary(request, context):
    names = sorted(key for key, _ in context.invocation_metadata())
    context.set_trailing_metadata((("seen", ",".join(names)), ("data-bin", b"\0\xff")))
    return request


def server_stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def client_stream(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def bidirectional(requests, context):
    yield from requests


def paced(request, context):
    """Messages apart from each other, for longer than any request timeout of the tests."""
    pause = threading.Event()
    for number in range(8):
        yield b"%d" % number
        pause.wait(0.1)


def until_over(context):
    """Set when the call is over, which for those that hang is when it is given up."""
    over = threading.Event()

    def tell():
        print("cancelled", flush=True)
        over.set()

    if not context.add_callback(tell):
        tell()
    return over


def hang(request, context):
    until_over(context).wait(30)
    return b""


def begin_and_hang(request, context):
    over = until_over(context)
    yield b"begun"
    over.wait(30)


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "100 % n\u00e4h")


def main():
    server = grpc.server(
        futures.ThreadPoolExecutor(32),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidirectional": grpc.stream_stream_rpc_method_handler(bidirectional),
        "Paced": grpc.unary_stream_rpc_method_handler(paced),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
        "BeginAndHang": grpc.unary_stream_rpc_method_handler(begin_and_hang),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    }),))
    servicer = health.HealthServicer()
    servicer.set("test.Echo", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if len(sys.argv) > 1:
        chain, key, roots = (open(path, "rb").read() for path in sys.argv[1:4])
        credentials = grpc.ssl_server_credentials(
            [(key, chain)], root_certificates=roots, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


main()
