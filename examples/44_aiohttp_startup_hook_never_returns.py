"""A startup hook that never returns, and one that fails: what runs, and what does not.

The hooks are awaited before the port is opened, so an application with an endless hook refuses its users.
SIGTERM still ends it: the hook is cancelled where it is. The application has not served, so neither the
shutdown nor the cleanup hooks run. They do not run when a hook fails, either. Under `run_app` what was
opened before is closed only if its context is made for that: `try` and `finally` around the `yield`."""
import asyncio, os, signal, socket, threading
from aiohttp import web

inside = threading.Event()

async def endless(app):
    inside.set()
    try:
        while True:
            await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("  the hook is cancelled")
        raise

async def failing(app):
    raise ConnectionError("there is no database")

async def later(app):
    print("  a later startup hook")

async def on_shutdown(app):
    print("  on_shutdown")

async def on_cleanup(app):
    print("  on_cleanup")

async def plain(app):
    yield
    print("  the plain context is left")

async def with_finally(app):
    try:
        yield
    finally:
        print("  the context with finally is left")

def user(port):
    inside.wait()
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
        print("  client: accepted")
    except OSError as error:
        print(f"  client: {type(error).__name__}")
    os.kill(os.getpid(), signal.SIGTERM)

def scenario(hook):
    app = web.Application()
    app.cleanup_ctx.extend([plain, with_finally])
    app.on_startup.extend([hook, later])
    app.on_shutdown.append(on_shutdown)
    app.on_cleanup.append(on_cleanup)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    thread = threading.Thread(target=user, args=[port], daemon=True)
    thread.start()
    try:
        web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)
        print("  run_app has returned")
        thread.join()
    except ConnectionError as error:
        print("  run_app failed:", error)

print("a hook that never returns")
scenario(endless)
inside.clear()
print("a hook that fails")
scenario(failing)
