"""A Python HTTP server that says which instance answers: by itself (http.server), under gunicorn (`web:wsgi`) and under
uvicorn (`web:asgi`)."""
import os
import sys

ME = os.environ.get("STEAD_INSTANCE", str(os.getpid()))
BODY = f"instance {ME} pid {os.getpid()}\n".encode()
HEADERS = [("X-Instance", ME), ("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def wsgi(_environ, start_response):
    start_response("200 OK", HEADERS)
    return [BODY]


async def asgi(scope, _receive, send):
    # Uvicorn asks about its life cycle in the same way; a plain app may refuse that.
    assert scope["type"] == "http"
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def main():
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Header and body are two writes: the second would wait for the client to acknowledge the first.
        disable_nagle_algorithm = True

        def do_GET(self):
            self.send_response(200)
            for name, value in HEADERS:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(BODY)

        def log_message(self, *_):
            """A line for each request would be all that its log holds."""

    class Server(ThreadingHTTPServer):
        # The five of http.server overflow with any real load.
        request_queue_size = 128

    with Server(("", int(sys.argv[1])), Handler) as server:
        print("listening", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
