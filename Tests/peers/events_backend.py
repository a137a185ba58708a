"""A model that streams server-sent events over HTTP/1.1, each only once it is asked for.

Prints its port, then a line for each stream that its client left: `left`.

    GET /events/NAME     begins a stream
    POST /next/NAME      sends its next event; `end` as the body ends it
    POST /echo           sends each piece of the body back as it comes
"""
import http.server
import queue
import select
import sys
import threading

streams = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def begin(self, content_type):
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def do_GET(self):
        asked = streams.setdefault(self.path.rpartition("/")[2], queue.SimpleQueue())
        self.begin("text/event-stream")
        number = 0
        while True:
            try:
                what = asked.get(timeout=0.02)
            except queue.Empty:
                if select.select([self.connection], [], [], 0)[0]:
                    print("left", flush=True)
                    self.close_connection = True
                    return
                continue
            if what == b"end":
                break
            self.chunk(b"data: %d\n\n" % number)
            number += 1
        self.chunk(b"")

    def do_POST(self):
        if self.path == "/echo":
            self.begin("application/octet-stream")
            while size := int(self.rfile.readline(), 16):
                self.chunk(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            self.chunk(b"")
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        streams.setdefault(self.path.rpartition("/")[2], queue.SimpleQueue()).put(body)
        self.send_response(204)
        self.end_headers()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
