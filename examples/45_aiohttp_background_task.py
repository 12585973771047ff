"""A background job that lives as long as the application.

A context starts the job before the `yield`, and cancels it and waits for it afterwards. A pair of hooks does
the same, with the task stored in the application between. Either way the job runs while requests are
served, has ended before `run_app` returns, and concerns no other code. If it has failed, the cleanup says so
and goes on. A job that nothing ends is cancelled by `run_app`, after the cleanup hooks."""
import asyncio, http.client, os, signal, socket, threading
from aiohttp import web

async def job():
    print("  job: begins")
    try:
        while True:
            await asyncio.sleep(0.01)
    finally:
        print("  job: released")

async def crashing():
    print("  job: crashes")
    raise OSError("no answer")

async def end(task):
    task.cancel()
    await asyncio.wait([task])                # reads no result
    if task.cancelled():
        print("  cleanup: the job has ended")
    elif task.exception():
        print("  cleanup: the job had failed:", task.exception())
    else:
        print("  cleanup: the job had returned")

async def job_context(app):
    task = asyncio.create_task(job())
    yield
    await end(task)

async def crashing_context(app):
    task = asyncio.create_task(crashing())
    yield
    await end(task)

JOB = web.AppKey("job", asyncio.Task)

async def start_job(app):
    app[JOB] = asyncio.create_task(job())

async def end_job(app):
    await end(app[JOB])

def scenario(prepare):
    up = threading.Event()

    async def hello(request):
        print("  request")
        return web.Response(text="hello\n")

    async def ready(app):
        up.set()

    async def on_cleanup(app):
        print("  on_cleanup")

    app = web.Application()
    app.router.add_get("/", hello)
    prepare(app)
    app.on_startup.append(ready)
    app.on_cleanup.append(on_cleanup)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]

    def user():
        up.wait()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=user)
    thread.start()
    web.run_app(app, sock=sock, print=None, access_log=None)
    print("  run_app has returned")
    thread.join()

def with_two_hooks(app):
    app.on_startup.append(start_job)
    app.on_cleanup.append(end_job)

print("a context")
scenario(lambda app: app.cleanup_ctx.append(job_context))
print("two hooks")
scenario(with_two_hooks)
print("a job that crashes")
scenario(lambda app: app.cleanup_ctx.append(crashing_context))
print("nothing ends the job")
scenario(lambda app: app.on_startup.append(start_job))
