"""Calls the methods of grpc_backend.py through a gateway with grpcio, and checks what comes back.

    grpc_client.py PORT ROOTS KEYFILE CASE…     prints `CASE ok`, or what was wrong, for each
"""
import faulthandler
import queue
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

port, roots, key_file, *cases = sys.argv[1:]
key = open(key_file).read().strip()
unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
channel = grpc.secure_channel(
    f"localhost:{port}", grpc.ssl_channel_credentials(open(roots, "rb").read()), unlimited)
authorized = (("authorization", f"Bearer {key}"),)


def call(kind, name):
    return getattr(channel, kind)(f"/test.Echo/{name}")


def refused(code, details, run):
    try:
        run()
    except grpc.RpcError as error:
        assert (error.code(), error.details()) == (code, details), (error.code(), error.details())
        return error
    raise AssertionError("answered")


def unary():
    answer, outcome = call("unary_unary", "Unary").with_call(
        b"hello", metadata=authorized + (("kept", "yes"),))
    assert answer == b"hello"
    assert outcome.code() == grpc.StatusCode.OK
    trailers = dict(outcome.trailing_metadata())
    assert trailers["data-bin"] == b"\0\xff", trailers
    seen = trailers["seen"].split(",")
    assert "kept" in seen and "x-request-id" in seen and "authorization" not in seen, seen
    head = dict(outcome.initial_metadata())
    assert head["azureml-model-deployment"] == "blue", head


def server_stream():
    answers = call("unary_stream", "ServerStream")(b"50", metadata=authorized)
    assert list(answers) == [b"%d" % number for number in range(50)]


def client_stream():
    answer = call("stream_unary", "ClientStream")(
        (b"x" * 1000 for _ in range(50)), metadata=authorized)
    assert answer == b"50000", answer


def bidirectional():
    """Each message is sent only when the one before has come back."""
    messages = queue.SimpleQueue()
    answers = call("stream_stream", "Bidirectional")(
        iter(messages.get, None), metadata=authorized, timeout=20)
    for number in range(20):
        messages.put(b"%d" % number)
        assert next(answers) == b"%d" % number
    messages.put(None)
    assert list(answers) == []


def large():
    body = bytes(range(256)) * 4096
    answers = call("stream_stream", "Bidirectional")(
        iter([body] * 20), metadata=authorized, timeout=60)
    assert all(answer == body for answer in answers)


def many():
    calls = [call("unary_unary", "Unary").future(b"%d" % n, metadata=authorized) for n in range(50)]
    assert [one.result() for one in calls] == [b"%d" % n for n in range(50)]


def health():
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ("", "test.Echo"):
        request = health_pb2.HealthCheckRequest(service=service)
        assert stub.Check(request, metadata=authorized).status == serving
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="test.Echo"), metadata=authorized)
    assert next(watch).status == serving
    watch.cancel()
    unknown = health_pb2.HealthCheckRequest(service="none")
    refused(grpc.StatusCode.NOT_FOUND, "", lambda: stub.Check(unknown, metadata=authorized))


def fail():
    refused(
        grpc.StatusCode.FAILED_PRECONDITION, "100 % n\u00e4h",
        lambda: call("unary_unary", "Fail")(b"", metadata=authorized))


def unimplemented():
    refused(
        grpc.StatusCode.UNIMPLEMENTED, "Method not found!",
        lambda: call("unary_unary", "None")(b"", metadata=authorized))


def paced():
    """Lasts longer than request_timeout_ms, but begins in time."""
    answers = list(call("unary_stream", "Paced")(b"", metadata=authorized))
    assert answers == [b"%d" % number for number in range(8)], answers


def request_timeout():
    refused(
        grpc.StatusCode.DEADLINE_EXCEEDED, "request_timeout",
        lambda: call("unary_unary", "Hang")(b"", metadata=authorized, timeout=30))


def own_deadline():
    refused(
        grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded",
        # Long enough for a busy machine to bring the call to the backend before.
        lambda: call("unary_unary", "Hang")(b"", metadata=authorized, timeout=2))


def cancel():
    answers = call("unary_stream", "BeginAndHang")(b"", metadata=authorized)
    assert next(answers) == b"begun"
    answers.cancel()


def wrong_key():
    wrong = (("authorization", f"Bearer {key[:-1]}x"),)
    error = refused(
        grpc.StatusCode.UNAUTHENTICATED, "key_auth_access_denied",
        lambda: call("unary_unary", "Unary")(b"", metadata=wrong))
    assert "x-request-id" in dict(error.initial_metadata()) | dict(error.trailing_metadata())
    refused(
        grpc.StatusCode.UNAUTHENTICATED, "key_auth_bad_header_forbidden",
        lambda: call("unary_unary", "Unary")(b""))
    # A stream of requests is refused on its head.
    refused(
        grpc.StatusCode.UNAUTHENTICATED, "key_auth_access_denied",
        lambda: call("stream_unary", "ClientStream")(
            (b"x" * 100_000 for _ in range(20)), metadata=wrong))


def unavailable():
    refused(
        grpc.StatusCode.UNAVAILABLE, "model_not_ready",
        lambda: call("unary_unary", "Unary")(b"", metadata=authorized))


def main():
    failed = False
    for name in cases:
        # What hangs says where.
        faulthandler.dump_traceback_later(60, exit=True)
        try:
            globals()[name]()
            print(name, "ok", flush=True)
        except Exception as error:  # Whatever it is, it belongs to this case.
            failed = True
            print(name, type(error).__name__, error, flush=True)
    channel.close()
    sys.exit(failed)


main()
