"""A server for telnet, stopped by Ctrl-C while a client is connected.

The server answers each line in capitals, and each connection has a task of its own. Ctrl-C cancels only
the main task, which has to end the connections. It closes the server, cancels the connection tasks, waits
for them, and only then waits for the server. Two kinds of client would keep it waiting: one that connects
meanwhile, and one that does not read. `close_clients` and `abort_clients` end these. The client sees the end
of its stream, and no task is left over.

With a port as argument it serves there for `telnet` and `nc`, until Ctrl-C."""
import asyncio, signal, sys

connections = set()

async def echo(reader, writer):
    me = asyncio.current_task()
    connections.add(me)
    try:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        print("server: client left")
    except asyncio.CancelledError:
        print("server: connection dropped")
    except ConnectionError:
        print("server: connection lost")
    finally:
        connections.discard(me)
        writer.close()

async def client(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for word in (b"hello\n", b"again\n"):
        writer.write(word)
        print("client got", (await reader.readline()).decode().strip())
    return reader, writer

async def demonstrate(port):
    stays = await client(port)
    _, writer = await client(port)
    writer.close()                            # a polite client
    await writer.wait_closed()
    while len(connections) > 1:
        await asyncio.sleep(0)
    print("open connections:", len(connections))
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
    return stays

async def shut_down(server):
    server.close()
    for task in list(connections):
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    if sys.version_info < (3, 13):            # it has no way to end connections without a task
        return await server.wait_closed()
    server.close_clients()                    # also those that came as the shutdown began
    try:
        await asyncio.wait_for(server.wait_closed(), 5)
    except TimeoutError:
        server.abort_clients()                # they do not read
        await server.wait_closed()

async def main(port):
    server = await asyncio.start_server(echo, "127.0.0.1", port or 0)
    stays = None
    own_port = server.sockets[0].getsockname()[1]
    if port is None:
        stays = await demonstrate(own_port)
    else:
        print(f"serving on port {own_port}; Ctrl-C stops it", flush=True)
    try:
        await asyncio.Event().wait()          # serving
    finally:
        await shut_down(server)
        if stays:
            reader, writer = stays
            print("client then got", len(await reader.read()), "bytes")
            writer.close()
        print("open connections:", len(connections))

try:
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else None))
except KeyboardInterrupt:
    print("Bye!")
