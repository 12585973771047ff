"""How long `run()` waits for the default pool, and that the interpreter's end waits for every pool."""
import asyncio, concurrent.futures, time

def job():
    time.sleep(0.2)
    print("the job ends", flush=True)

async def main():
    asyncio.get_running_loop().run_in_executor(concurrent.futures.ThreadPoolExecutor(), job)

print("seconds that run() waits:", getattr(asyncio.constants, "THREAD_JOIN_TIMEOUT", "no limit"))
asyncio.run(main())
print("run has returned, and the program ends", flush=True)
