"""A connection is opened when the application starts, and closed, and awaited, when it ends.

The context manager is the whole pattern: connect and say hello before the `yield`, close and wait after
it, whatever happens between. If the server is down, the application fails at its start and not at the
first request. Then there is nothing to clean up, because nothing was opened. A tiny server takes the
place of Redis. Lesson 46 talks to the real one. At the end two functions without a common frame: the closing
finds nothing, and its error hides the first."""
import asyncio, contextlib

class FakeRedis:
    async def start(self):
        self.hits, self.clients, self.gone = 0, 0, asyncio.Event()
        self.server = await asyncio.start_server(self.client, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def client(self, reader, writer):
        self.clients += 1
        while command := await reader.readline():
            if command == b"PING\r\n":
                writer.write(b"+PONG\r\n")
            else:
                self.hits += 1
                writer.write(b":%d\r\n" % self.hits)
        self.clients -= 1
        self.gone.set()
        writer.close()

class Connection:
    async def open(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def call(self, command):
        self.writer.write(command.encode() + b"\r\n")
        return (await self.reader.readline()).decode().strip()

    async def close(self):
        self.writer.close()
        await self.writer.wait_closed()

@contextlib.asynccontextmanager
async def connection(port):
    redis = await Connection().open(port)
    print("  startup:", await redis.call("PING"))
    try:
        yield redis
    finally:
        await redis.close()
        print("  cleanup: closed")

async def two_halves(port):
    """Opens in one half and closes in the other, which runs whatever the first has done."""
    stored = {}
    try:
        stored["redis"] = await Connection().open(port)
    finally:
        await stored["redis"].close()

async def application(port):
    async with connection(port) as redis:
        print("  request:", await redis.call("INCR hits"))
        print("  request:", await redis.call("INCR hits"))

async def main():
    fake = FakeRedis()
    port = await fake.start()
    print("the server is up")
    await application(port)
    await fake.gone.wait()
    print("  server: clients left:", fake.clients)

    fake.server.close()
    await fake.server.wait_closed()
    print("the server is down")
    try:
        await application(port)
    except ConnectionRefusedError:
        print("  startup failed: refused")
    try:
        await two_halves(port)
    except KeyError:
        print("  two halves: nothing is stored")

asyncio.run(main())
