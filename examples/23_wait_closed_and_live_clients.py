"""`wait_closed()` waits for clients that are still connected.

`close()` stops the listening. The connections go on, and `wait_closed()` returns when the last of them
has ended. A program that closes its server and waits for it, and ends the handlers only afterwards, waits
for ever. End the handlers first, the server last: that is right on every version. (Until 3.11
`wait_closed()` returned at once, and hid the mistake.)

A `serve_forever()` that is cancelled closes its server and the connections, then waits for both. In 3.12 and
3.13.0 it did not close the connections, and an idle client kept it waiting."""
# differs: until 3.11, wait_closed() did not wait for the connections;
# differs: in 3.12 and 3.13.0, a cancelled serve_forever() waited for clients that it did not close
import asyncio

async def scenario(connections_first):
    connected, leave = asyncio.Event(), asyncio.Event()

    async def handler(reader, writer):
        connected.set()
        await leave.wait()
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    await connected.wait()
    server.close()
    if connections_first:
        leave.set()
    try:
        await asyncio.wait_for(server.wait_closed(), 0.1)
        print("  wait_closed() has returned")
    except TimeoutError:
        print("  wait_closed() still waits for the client")
    leave.set()
    print("  the client then reads", len(await reader.read()), "bytes")
    writer.close()

async def cancelled():
    connected, left = asyncio.Event(), asyncio.Event()

    async def handler(reader, writer):
        connected.set()
        print("  the handler reads", len(await reader.read()), "bytes")
        left.set()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    serving = asyncio.create_task(server.serve_forever())
    _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    await connected.wait()
    serving.cancel()
    done, _ = await asyncio.wait([serving], timeout=1)
    print("  serve_forever()", "has ended" if done else "still waits for the client")
    writer.close()                            # the client goes
    await left.wait()

print("the server first")
asyncio.run(scenario(connections_first=False))
print("the connections first")
asyncio.run(scenario(connections_first=True))
print("serve_forever() is cancelled")
asyncio.run(cancelled())
