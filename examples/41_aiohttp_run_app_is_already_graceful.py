"""`run_app` alone shuts down gracefully: what SIGINT and SIGTERM do to a request in flight.

No signal handler has to be written. The port is closed first, so that new connections are refused; then
the shutdown hooks run. A request in flight is answered if that takes no longer than twice the shutdown
timeout. Otherwise it is cancelled, and its client is cut off. Then the cleanup hooks run, and `run_app` returns.

With a port as argument it serves there, for `curl localhost:PORT/slow`, until Ctrl-C."""
import asyncio, http.client, os, signal, socket, sys, threading
from aiohttp import web

def application(say, in_flight, closing):
    async def hello(request):
        return web.Response(text="hello\n")

    async def slow(request):
        say("slow: begin")
        in_flight.set()
        try:
            await asyncio.sleep(0.4)
        except asyncio.CancelledError:
            say("slow: cancelled")
            raise
        say("slow: end")
        return web.Response(text="slow done\n")

    async def on_shutdown(app):
        say("on_shutdown")
        closing.set()

    async def on_cleanup(app):
        say("on_cleanup")

    app = web.Application()
    app.router.add_get("/", hello)
    app.router.add_get("/slow", slow)
    app.on_shutdown.append(on_shutdown)
    app.on_cleanup.append(on_cleanup)
    return app

def get(port, path):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        return f"{response.status} {response.read().decode().strip()}"
    except OSError as error:
        return type(error).__name__

def scenario(sig, shutdown_timeout):
    print(f"{sig.name}, and {shutdown_timeout} s to finish")
    in_flight, closing, answers = threading.Event(), threading.Event(), {}
    app = application(lambda text: print(" ", text), in_flight, closing)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]

    def first_user():
        answers["in flight"] = get(port, "/slow")

    def second_user():
        in_flight.wait()
        os.kill(os.getpid(), sig)
        closing.wait()
        answers["new"] = get(port, "/")

    users = [threading.Thread(target=user) for user in (first_user, second_user)]
    for user in users:
        user.start()
    web.run_app(app, sock=sock, print=None, access_log=None, shutdown_timeout=shutdown_timeout)
    print("  run_app has returned")
    for user in users:
        user.join()
    print("  the request in flight:", answers["in flight"])
    print("  a new connection:", answers["new"])

if len(sys.argv) > 1:
    unused = threading.Event()
    app = application(lambda text: print(text, flush=True), unused, unused)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None)
else:
    scenario(signal.SIGTERM, 5)
    scenario(signal.SIGINT, 5)
    scenario(signal.SIGTERM, 0.3)  # less than the request takes, and twice as much is more
    scenario(signal.SIGTERM, 0.05)
