"""Cancelling all tasks is not graceful, when requests and the server itself are tasks.

The handler of a well-known recipe cancels every task but its own, gathers them and stops the loop. Under
`run_app` the request in flight is such a task, and its client is cut off without an answer. The main task
of `run_app` is another, so it ends with a cancellation instead of returning. And, as in lesson 13, the
handler looks up too late which signal it was."""
import asyncio, http.client, os, signal, socket, threading
from aiohttp import web

in_flight = threading.Event()

async def slow(request):
    in_flight.set()
    try:
        await asyncio.sleep(0.4)
    except asyncio.CancelledError:
        print("slow: cancelled")
        raise
    return web.Response(text="slow done\n")

async def on_shutdown(app):
    print("on_shutdown")

async def on_cleanup(app):
    print("on_cleanup")

async def shutdown(sig, loop):
    print(f"shutdown({sig.name})")
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    loop.stop()

answers = []

def user():
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/slow")
        answers.append(connection.getresponse().status)
    except OSError as error:
        answers.append(type(error).__name__)

def killer():
    in_flight.wait()
    print("SIGHUP is sent")
    os.kill(os.getpid(), signal.SIGHUP)

app = web.Application()
app.router.add_get("/slow", slow)
app.on_shutdown.append(on_shutdown)
app.on_cleanup.append(on_cleanup)
loop = asyncio.new_event_loop()
kept = []
for sig in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
    loop.add_signal_handler(sig, lambda: kept.append(loop.create_task(shutdown(sig, loop))))
sock = socket.create_server(("127.0.0.1", 0))
port = sock.getsockname()[1]
threads = [threading.Thread(target=target) for target in (user, killer)]
for thread in threads:
    thread.start()
try:
    web.run_app(app, sock=sock, print=None, access_log=None, loop=loop, handle_signals=False)
    print("run_app has returned")
except asyncio.CancelledError:
    print("run_app was cancelled")
for thread in threads:
    thread.join()
print("client:", *answers)
