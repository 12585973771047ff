"""One connection to Redis for the whole application: opened, used and closed with it.

A context opens it and asks for a `ping` before the application serves. Requests use it. After the `yield`
it is closed, and the server has one client fewer. Making the client does not connect. Without the ping an
application starts although Redis is down, and its users are the first to notice. The last part is wired as in
many texts: a hook makes a client, and no code stores it. The cleanup finds nothing and fails, at every end.

The lesson talks to the server that REDIS_URL names, or else starts a `redis-server` of its own."""
import http.client, os, shutil, signal, socket, subprocess, sys, threading, time
import redis, redis.asyncio
from aiohttp import web

KEY = "looplab:hits"
REDIS = web.AppKey("redis", redis.asyncio.Redis)

def in_a_context(app, url, ping):
    async def connection(app):
        app[REDIS] = client = redis.asyncio.from_url(url)
        if ping:
            print("  startup: the ping is answered:", "yes" if await client.ping() else "no")
        yield
        await client.aclose()
        print("  cleanup: closed")

    app.cleanup_ctx.append(connection)

def in_two_hooks(app, url):
    async def connect(app):
        return redis.asyncio.from_url(url)    # what a hook returns is stored nowhere

    async def disconnect(app):
        await app[REDIS].aclose()

    async def last(app):
        print("  the hook after it runs")     # it does not

    app.on_startup.append(connect)
    app.on_cleanup.append(disconnect)
    app.on_cleanup.append(last)

def scenario(wire, *args):
    up = threading.Event()

    async def hit(request):
        try:
            hits = await request.app[REDIS].incr(KEY)
        except KeyError:
            return web.Response(status=500, text="nothing is stored\n")
        except redis.ConnectionError:
            return web.Response(status=503, text="no Redis\n")
        return web.Response(text=f"{hits}\n")

    async def ready(app):
        up.set()

    app = web.Application()
    app.router.add_get("/", hit)
    wire(app, *args)
    app.on_startup.append(ready)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]

    def user():
        up.wait()
        for _ in range(2):
            request = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            request.request("GET", "/")
            response = request.getresponse()
            print(f"  GET: {response.status} {response.read().decode().strip()}")
            request.close()
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=user, daemon=True)
    thread.start()
    try:
        web.run_app(app, sock=sock, print=None, access_log=None)
        print("  run_app has returned")
        thread.join()
    except redis.ConnectionError:
        print("  run_app failed: there is no Redis")
    except KeyError:
        print("  run_app failed: nothing is stored")

def lesson(url):
    server = redis.Redis.from_url(url)
    server.delete(KEY)
    before = len(server.client_list())
    print("Redis is there")
    scenario(in_a_context, url, True)
    deadline = time.monotonic() + 10          # the server hears of the end in its own time
    while len(server.client_list()) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    print("  clients left behind:", len(server.client_list()) - before)
    server.delete(KEY)
    print("Redis is down, with a ping")
    scenario(in_a_context, "redis://127.0.0.1:1", True)
    print("Redis is down, without")
    scenario(in_a_context, "redis://127.0.0.1:1", False)
    print("Redis is there, and its client is stored nowhere")
    scenario(in_two_hooks, url)

url = os.environ.get("REDIS_URL")
if url:
    lesson(url)
elif not shutil.which("redis-server"):
    print("not shown: there is no redis-server on this machine (Debian: apt-get install redis-server), "
          "and REDIS_URL names none")
else:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"]
    own = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"redis://127.0.0.1:{port}"
        for _ in range(1000):
            try:
                redis.Redis.from_url(url).ping()
                break
            except redis.ConnectionError:
                time.sleep(0.01)
        lesson(url)
    finally:
        own.kill()
        own.wait()
