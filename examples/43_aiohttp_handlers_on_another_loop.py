"""Signal handlers on a loop that `run_app` does not use.

A program makes a loop, registers its handlers there, and calls `run_app`, which makes a loop of its own.
For SIGINT and SIGTERM `run_app` has handlers, so these end it, and the program's own never run. For
SIGHUP there is only the program's handler. The signal is caught, so the process does not die of it, but
the loop that should answer does not run. The signal is swallowed, and the server serves on."""
import asyncio, http.client, os, signal, socket, threading
from aiohttp import web

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)

mine = asyncio.new_event_loop()
for sig in SIGNALS:
    mine.add_signal_handler(sig, print, f"my handler: {sig.name}")

up = threading.Event()

async def hello(request):
    return web.Response(text="hello\n")

async def on_startup(app):
    used = asyncio.get_running_loop() is mine
    print("run_app uses", "my loop" if used else "a loop of its own")
    up.set()

async def on_cleanup(app):
    print("on_cleanup")

def get():
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    response = connection.getresponse()
    answer = f"{response.status} {response.read().decode().strip()}"
    connection.close()
    return answer

def user():
    up.wait()
    print("GET:", get())
    os.kill(os.getpid(), signal.SIGHUP)
    print("GET after SIGHUP:", get())
    os.kill(os.getpid(), signal.SIGTERM)

app = web.Application()
app.router.add_get("/", hello)
app.on_startup.append(on_startup)
app.on_cleanup.append(on_cleanup)
sock = socket.create_server(("127.0.0.1", 0))
port = sock.getsockname()[1]
thread = threading.Thread(target=user)
thread.start()
web.run_app(app, sock=sock, print=None, access_log=None)
print("run_app has returned")
thread.join()
mine.close()
