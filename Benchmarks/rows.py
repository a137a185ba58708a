"""The rows of the report: each measures one gateway once; the caller goes round in alternation.

A row has its `gateways`, and `measure` returns {figure: value} for one round of one of them, or
raises if anything failed. `FIGURES` says what the figures are.
"""

import time

from events import EVENTS, EventClient
from floods import KINDS, Flood
from load import (BODY_BYTES, LARGE_BYTES, UNHURRIED, IdleConnections, LoadTester, OpenStreams,
                  children_processor_seconds, percentiles, quantile)
from servers import (GATEWAY_PROCESSOR, LOAD_PROCESSOR, SCOREGATE, Server, free_port,
                     offers_http2, wait_for_listener)

# figure: (unit, whether more is better)
FIGURES = {
    "cpu_us_per_request": ("µs", False),
    "user_cpu_us_per_request": ("µs", False),
    "system_cpu_us_per_request": ("µs", False),
    "requests_per_second": ("1/s", True),
    "processor_use_at_saturation": ("1", True),
    "added_latency_p50_us": ("µs", False),
    "added_latency_p99_us": ("µs", False),
    "added_latency_p999_us": ("µs", False),
    "added_service_time_p50_us": ("µs", False),
    "added_service_time_p99_us": ("µs", False),
    "schedule_lag_p99_us": ("µs", False),
    "system_calls_per_request": ("1", False),
    "instructions_per_request": ("1", False),
    "added_time_to_first_event_p50_us": ("µs", False),
    "added_time_to_first_event_p90_us": ("µs", False),
    "events_coalesced_per_thousand": ("1", False),
    "request_bytes_per_cpu_second": ("B/s", True),
    "answer_bytes_per_cpu_second": ("B/s", True),
    "latency_p99_us": ("µs", False),
    **{f"latency_p99_times_under_{kind}_flood": ("1", False) for kind in KINDS},
    "latency_p99_times_under_rotation": ("1", False),
    "handshakes_per_cpu_second": ("1/s", True),
    "resident_bytes_per_connection": ("B", False),
    "resident_bytes_per_stream": ("B", False),
    "start_to_first_answer_ms": ("ms", False),
    "resident_bytes_at_start": ("B", False),
    "http1_requests_per_cpu_second": ("1/s", True),
    "http2_requests_per_cpu_second": ("1/s", True),
    "schedule_lag_at_10000_p50_us": ("µs", False),
    "schedule_lag_at_10000_p99_us": ("µs", False),
    "service_time_of_5_ms_p50_us": ("µs", False),
    "sealed_bytes_per_cpu_second": ("B/s", True),
    "verified_bytes_per_cpu_second": ("B/s", True),
    "lookup_seconds": ("s", False),
    "log_bytes": ("B", True),
}


class Saturation:
    """As fast as it goes: CPU a request, requests a second.

    HTTP/1.1 clients are 32 connections of wrk, HTTP/2 clients 16 connections with 20 streams each
    of h2load.
    """

    def __init__(self, row, gateways, loads, seconds):
        self.row, self.gateways, self.loads, self.seconds = row, gateways, loads, seconds
        self.http2 = row.startswith("h2-")

    def measure(self, gateway):
        if self.http2 and not offers_http2(gateway.port):
            raise RuntimeError("offers no HTTP/2 by ALPN")
        server, load = gateway.server, self.loads[gateway.name]
        saturate = load.saturate_http2 if self.http2 else load.saturate
        saturate(gateway.port, 1)
        before, ticks = server.processor_seconds(), server.user_share()
        requests, seconds = saturate(gateway.port, self.seconds)
        processor = server.processor_seconds() - before
        user, system = (now - then for now, then in zip(server.user_share(), ticks))
        share = user / max(user + system, 1)
        cost = processor / requests * 1e6
        return {
            "cpu_us_per_request": cost,
            "user_cpu_us_per_request": cost * share,
            "system_cpu_us_per_request": cost * (1 - share),
            "requests_per_second": requests / seconds,
            # Well under 1: something else was the limit, and requests_per_second says little.
            "processor_use_at_saturation": processor / seconds,
        }


class AddedLatency:
    """Latency at a fixed rate, less that of the backend asked directly in the same round."""

    row = "h1-h1"

    def __init__(self, gateways, loads, rate, direct_port, seconds):
        self.gateways, self.loads, self.rate = gateways, loads, rate
        self.direct_port, self.seconds = direct_port, seconds
        self.direct = None

    def measure(self, gateway):
        load = self.loads[gateway.name]
        if self.direct is None or gateway is self.gateways[0]:
            self.direct = load.at_rate(self.direct_port, self.rate, self.seconds)
        through = load.at_rate(gateway.port, self.rate, self.seconds)
        lag = through.pop("schedule_lag_p99")
        return {"schedule_lag_p99_us": lag,
                **{f"added_{name}_us": through[name] - self.direct[name]
                   for name in through.keys() & self.direct.keys()}}


class EventStreams:
    """Server-sent events, one stream after another: the time to the first event less that
    without a gateway, and how many events shared a TLS record with the one before."""

    row = "sse"

    def __init__(self, gateways, root, direct_port, short):
        self.gateways, self.root, self.direct_port = gateways, root, direct_port
        self.streams = 5 if short else 40
        self.direct = None

    def measure(self, gateway):
        if self.direct is None or gateway is self.gateways[0]:
            self.direct, _ = self._times(self.direct_port, gateway)
        through, coalesced = self._times(gateway.port, gateway)
        return {
            **{f"added_time_to_first_event_{name}_us":
               (quantile(through, q) - quantile(self.direct, q)) * 1e6
               for name, q in (("p50", 0.5), ("p90", 0.9))},
            "events_coalesced_per_thousand": coalesced / (self.streams * EVENTS) * 1e3,
        }

    def _times(self, port, gateway):
        client = EventClient(port, self.root, gateway.request(body=b"x" * BODY_BYTES))
        try:
            client.stream()  # The connection to the backend is there from now on.
            times, coalesced = zip(*(client.stream() for _ in range(self.streams)))
        finally:
            client.close()
        return sorted(times), sum(coalesced)


class LargeBodies:
    """1 MiB up with a small answer, and a small request with 1 MiB down."""

    row = "body-1m"

    def __init__(self, gateways, up, down, seconds):
        self.gateways, self.up, self.down, self.seconds = gateways, up, down, seconds

    def measure(self, gateway):
        answer = {}
        for figure, loads in (("request", self.up), ("answer", self.down)):
            before = gateway.server.processor_seconds()
            # Few connections: a megabyte each in flight is plenty, and more only fills memory.
            requests, _ = loads[gateway.name].saturate(gateway.port, self.seconds, 8)
            processor = gateway.server.processor_seconds() - before
            answer[f"{figure}_bytes_per_cpu_second"] = requests * LARGE_BYTES / processor
        return answer


class Floods:
    """Latency of well-behaved clients at a fixed rate, and how many times that is while one other
    client floods the gateway over HTTP/2."""

    row = "flood"

    def __init__(self, folder, gateways, root, loads, seconds):
        self.folder, self.gateways, self.root = folder, gateways, root
        self.loads, self.seconds = loads, seconds

    def measure(self, gateway):
        load = self.loads[gateway.name]
        quiet = load.at_rate(gateway.port, self.rate, self.seconds)["latency_p99"]
        answer = {"latency_p99_us": quiet}
        for kind in KINDS:
            flood = Flood(self.folder, self.root, gateway.port, gateway.key, kind)
            try:
                flooded = load.at_rate(gateway.port, self.rate, self.seconds)["latency_p99"]
            finally:
                flood.stop()
            answer[f"latency_p99_times_under_{kind}_flood"] = flooded / quiet
        return answer

    # Requests a second: little for every gateway here.
    rate = 500


class Rotation:
    """Latency at a fixed rate while the key that the log's keys are wrapped under is rotated once a
    second, as a multiple of that while its versions are listed as often: a command takes time of
    the load's processor, whatever it does, and little where it gets what nobody else wants."""

    row = "rotation"

    def __init__(self, gateways, loads, seconds):
        self.gateways, self.loads, self.seconds = gateways, loads, seconds

    def measure(self, gateway):
        listed = self._latency(gateway, "list")
        return {"latency_p99_us": listed,
                "latency_p99_times_under_rotation": self._latency(gateway, "rotate") / listed}

    def _latency(self, gateway, command):
        marks = [argument for second in range(round(self.seconds)) for argument in
                 ("--at", f"{second + 1.5}s chrt --idle 0 {SCOREGATE} keys wrapping {command} bench"
                          f" --config {gateway.path} --output json")]
        return self.loads[gateway.name].at_rate(
            gateway.port, self.rate, self.seconds, arguments=marks)["latency_p99"]

    # Requests a second: each window that a p99 is taken of has a rotation in it.
    rate = 1000


class HandshakeCost:
    """Connections made and closed, without a request; resumed by tickets, or full."""

    def __init__(self, gateways, loads, resumed, seconds):
        self.row = "handshake-resumed" if resumed else "handshake-full"
        self.gateways, self.loads, self.resumed = gateways, loads, resumed
        self.seconds = seconds

    def measure(self, gateway):
        load = self.loads[gateway.name]
        if self.resumed:
            load.grant_sessions(gateway.port)
        before = gateway.server.processor_seconds()
        count = load.handshakes(gateway.port, self.seconds, self.resumed)
        return {"handshakes_per_cpu_second":
                count / (gateway.server.processor_seconds() - before)}


class IdleMemory:
    """A fresh process; the growth from 100 open connections to many, a connection."""

    row = "idle"
    warm = 100

    def __init__(self, gateways, root, count):
        self.gateways, self.root, self.count = gateways, root, count

    def measure(self, gateway):
        connections = IdleConnections(self.root, gateway.request())
        grown = grown_bytes(gateway, connections, self.warm, self.count)
        return {"resident_bytes_per_connection": grown / (self.count - self.warm)}


class StreamMemory:
    """A fresh process; the growth from 100 open streams to 1,000 on ten connections, a stream: a
    request whose body does not come, forwarded as far as it is there."""

    row = "idle"
    connections, warm, most = 10, 10, 100

    def __init__(self, gateways, root):
        # The backend, an nginx, ends Envoy's connections to it when so many streams stand still.
        self.gateways = [gateway for gateway in gateways if gateway.name != "envoy"]
        self.root = root

    def measure(self, gateway):
        streams = OpenStreams(self.root, gateway.key, "/upload", self.connections)
        grown = grown_bytes(gateway, streams, self.warm, self.most)
        return {"resident_bytes_per_stream":
                grown / self.connections / (self.most - self.warm)}


def grown_bytes(gateway, held, warm, most):
    """What a fresh process grows by while `held` grows from `warm` to `most`."""
    gateway.stop()
    server = gateway.start()
    try:
        held.grow(gateway.port, warm)
        time.sleep(0.5)
        before = server.resident_bytes()
        held.grow(gateway.port, most)
        time.sleep(1)
        held.check()
        return server.resident_bytes() - before
    finally:
        held.close()


class Start:
    """A start with its state already there, to the first answer; memory right after it."""

    row = "start"

    def __init__(self, gateways):
        self.gateways = gateways

    def measure(self, gateway):
        gateway.stop()
        begin = time.monotonic()
        server = gateway.start()
        return {"start_to_first_answer_ms": (time.monotonic() - begin) * 1e3,
                "resident_bytes_at_start": server.resident_bytes()}


class Tester:
    """A command that is measured in the place of a gateway: a load tester, for one."""

    def __init__(self, name, server):
        self.name, self.server = name, server

    def stop(self):
        pass

    def start(self):
        raise RuntimeError("the backend has ended")


class LoadTesters:
    """What load testers cost themselves: requests a second of their own processor time, by the
    same load as in `Saturation`, sent to the backend's TLS directly. They have the gateways'
    processor, the backend the other. Their start is in it.

    Of ours also what it says where the truth is known: how late it is at 10,000 requests a second,
    and what becomes of 5 ms that the built-in model takes.
    """

    row = "load"
    # Requests a second: of the tester's own delay, and of the model whose time is known; slower than
    # this, what a request passes through is cold each time.
    rate, known, known_rate = 10_000, 0.005, 1000

    def __init__(self, folder, backend, load, seconds):
        self.folder, self.backend, self.load, self.seconds = folder, backend, load, seconds
        self.gateways = [Tester(name, backend.server) for name in ("scoregate", "wrk", "h2load")]

    def measure(self, tester):
        http1, http2 = self.backend.direct_port, self.backend.direct_http2_port
        if tester.name == "wrk":
            return {"http1_requests_per_cpu_second": self._cost(
                lambda: self.load.saturate(http1, self.seconds, processor=GATEWAY_PROCESSOR))}
        if tester.name == "h2load":
            return {"http2_requests_per_cpu_second": self._cost(
                lambda: self.load.saturate_http2(http2, self.seconds, GATEWAY_PROCESSOR))}
        return {
            "http1_requests_per_cpu_second": self._cost(
                lambda: self.load.saturate_ours(http1, self.seconds, GATEWAY_PROCESSOR)),
            "http2_requests_per_cpu_second": self._cost(
                lambda: self.load.saturate_ours(http2, self.seconds, GATEWAY_PROCESSOR,
                                                http2=True)),
            **self._truth(),
        }

    def _cost(self, saturate):
        before = children_processor_seconds()
        requests, _ = saturate()
        return requests / (children_processor_seconds() - before)

    def _truth(self):
        tester = LoadTester(self.folder, self.load.root)
        # Awake on both sides: to be woken takes this long by itself on a virtual machine.
        arguments = ["--http", "1.1", *UNHURRIED, "--warm-up", "1s", "--busy-poll"]
        lag = percentiles(tester.run(
            f"https://127.0.0.1:{self.backend.direct_port}{self.load.path}",
            ["--data-file", self.load.body_path, "--rate", str(self.rate), *arguments],
            self.seconds, GATEWAY_PROCESSOR)["scheduleLag"])
        port = free_port()
        model = Server("model", [SCOREGATE, "model", "--address", f"127.0.0.1:{port}",
                                 "--latency", f"{self.known * 1e3:.0f}ms", "--busy-poll"],
                       LOAD_PROCESSOR, self.folder)
        try:
            wait_for_listener(port)
            service = percentiles(tester.run(
                f"http://127.0.0.1:{port}/", ["--rate", str(self.known_rate), *arguments],
                self.seconds, GATEWAY_PROCESSOR)["service"])
        finally:
            model.stop()
        return {"schedule_lag_at_10000_p50_us": lag[50] * 1e6,
                "schedule_lag_at_10000_p99_us": lag[99] * 1e6,
                "service_time_of_5_ms_p50_us": service[50] * 1e6}


def by_figure(rounds):
    """Rounds of {figure: value} as {figure: [its value in each round, or None]}."""
    figures = dict.fromkeys(figure for one in rounds for figure in one)
    return {figure: [one.get(figure) for one in rounds] for figure in figures}
