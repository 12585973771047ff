"""A second SIGTERM, while `run_app` waits for a request in flight.

`run_app` takes it for "at once": the request is cancelled, the cleanup hooks do not run, and the program
ends with status 1. A program that must be patient waits for an event of its own, which cannot be set
twice, and calls the runner's cleanup once."""
import asyncio, http.client, os, signal, socket, threading
from aiohttp import web

def application(in_flight):
    async def slow(request):
        in_flight.set()
        try:
            await asyncio.sleep(0.4)
        except asyncio.CancelledError:
            print("  slow: cancelled")
            raise
        return web.Response(text="slow done\n")

    async def on_shutdown(app):
        print("  on_shutdown")
        asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGTERM)

    async def on_cleanup(app):
        print("  on_cleanup")

    app = web.Application()
    app.router.add_get("/", slow)
    app.on_shutdown.append(on_shutdown)
    app.on_cleanup.append(on_cleanup)
    return app

def with_run_app(app, sock):
    try:
        web.run_app(app, sock=sock, print=None, access_log=None)
        print("  run_app has returned")
    except SystemExit as error:
        print("  run_app ends the program with status", error.code)

def with_an_event(app, sock):
    async def main():
        stop = asyncio.Event()

        def on_signal():
            print("  signal")
            stop.set()

        for sig in signal.SIGINT, signal.SIGTERM:
            asyncio.get_running_loop().add_signal_handler(sig, on_signal)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, sock).start()
        await stop.wait()
        await runner.cleanup()

    asyncio.run(main())
    print("  run has returned")

def scenario(serve):
    in_flight, answers = threading.Event(), []
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]

    def user():
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/")
            answers.append(connection.getresponse().status)
        except OSError as error:
            answers.append(type(error).__name__)

    def killer():
        in_flight.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    threads = [threading.Thread(target=target) for target in (user, killer)]
    for thread in threads:
        thread.start()
    serve(application(in_flight), sock)
    for thread in threads:
        thread.join()
    print("  client:", *answers)

print("run_app")
scenario(with_run_app)
print("an event of our own")
scenario(with_an_event)
