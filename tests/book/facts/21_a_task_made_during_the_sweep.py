"""How many turns a task has that a swept task makes."""
import asyncio

async def made(turns, ended):
    for _ in range(turns):
        await asyncio.sleep(0)
    ended.append(True)

async def makes(turns, ended):
    try:
        await asyncio.sleep(60)
    finally:
        asyncio.create_task(made(turns, ended))

async def main(turns, ended):
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    asyncio.create_task(makes(turns, ended))
    await asyncio.sleep(0)

for turns in 5, 6:
    ended = []
    asyncio.run(main(turns, ended))
    print(turns, "are survived:", bool(ended))
