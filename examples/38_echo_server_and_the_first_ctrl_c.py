"""The echo server that most texts print, with a client connected: how many Ctrl-C does it take?

Ctrl-C cancels the main task, and so `serve_forever()`. A connection's task waits in `readline()`, and is not
cancelled by that. In 3.13.18, 3.14 and 3.15 the cancelled `serve_forever()` closes the connections, and one
Ctrl-C is enough. In 3.12 and 3.13.0 it waits for the client, and the first Ctrl-C seems to do nothing. Until 3.11 it waits
for no client, and the end of `run` cancels the connection's task."""
# differs: until 3.11, the server waited for no client, and the end of run() cancelled the connection's task;
# differs: in 3.12 and 3.13.0, the cancelled serve_forever() waited for the client until another Ctrl-C
import asyncio, os, signal, socket, threading

async def echo(reader, writer):
    try:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        print("  server: client left", flush=True)
    except asyncio.CancelledError:
        print("  server: connection dropped", flush=True)

async def main(serving):
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    serving(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()

def user(port, connects, ended):
    if connects:
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"hello\n")
        print("  client got", client.recv(100).decode().strip(), flush=True)
    while not ended.is_set():
        print("  Ctrl-C", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        ended.wait(2)
    if connects:
        client.close()

def scenario(connects):
    ended = threading.Event()
    users = []

    def serving(port):
        users.append(threading.Thread(target=user, args=(port, connects, ended)))
        asyncio.get_running_loop().call_soon(users[0].start)

    try:
        asyncio.run(main(serving))
    except KeyboardInterrupt:
        print("  Bye!", flush=True)
    ended.set()
    users[0].join()

print("no client", flush=True)
scenario(False)
print("a client is connected", flush=True)
scenario(True)
