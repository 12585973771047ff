"""A server that closes leaves its clients' tasks running.

`close()` ends the listening. The tasks that serve the clients go on, and each waits for a client that waits
for it. The service must end them, wait for them, and only then be over."""
import asyncio

class Clients:
    def __init__(self):
        self.tasks, self.closed = set(), False

async def answer(clients, reader, writer):
    me = asyncio.current_task()
    clients.tasks.add(me)
    try:
        while not clients.closed and (line := await reader.readline()):
            writer.write(line)
    finally:
        clients.tasks.discard(me)
        writer.close()

async def serve(clients, listening):
    server = await asyncio.start_server(lambda r, w: answer(clients, r, w), "127.0.0.1", 0)
    listening.set_result(server.sockets[0].getsockname()[1])
    try:
        await asyncio.Event().wait()
    finally:
        server.close()

async def careful_serve(clients, listening):
    server = await asyncio.start_server(lambda r, w: answer(clients, r, w), "127.0.0.1", 0)
    listening.set_result(server.sockets[0].getsockname()[1])
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
        clients.closed = True
        for task in clients.tasks:
            task.cancel()
        await asyncio.gather(*clients.tasks, return_exceptions=True)

async def ask(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello\n")
    await reader.readline()
    return writer

async def cancelled(serve):
    clients, listening = Clients(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(clients, listening))
    connection = await ask(await listening)
    serving.cancel()
    await asyncio.wait([serving])
    print("  the service is over, and its clients' tasks are:", len(clients.tasks))

print("cancelled while a client is connected")
asyncio.run(cancelled(serve))
print("mended")
asyncio.run(cancelled(careful_serve))
