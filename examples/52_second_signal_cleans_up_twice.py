"""A second signal starts a second cleanup.

A handler stays registered until it is removed. People press Ctrl-C again, and supervisors repeat their
signal. So the handler must remember that it has been called."""
import asyncio, signal

class Cleanups:
    begun = 0
    ending = False

async def clean_up(cleanups):
    cleanups.begun += 1
    await asyncio.sleep(0.02)
    asyncio.get_running_loop().stop()

def on_signal(loop, cleanups):
    cleanups.task = loop.create_task(clean_up(cleanups), name="cleanup")

def on_first_signal(loop, cleanups):
    if not cleanups.ending:
        cleanups.ending = True
        on_signal(loop, cleanups)

def serve(loop, cleanups, on_signal):
    loop.add_signal_handler(signal.SIGTERM, on_signal, loop, cleanups)
    work = loop.call_later(60, on_signal, loop, cleanups)
    loop.run_forever()
    work.cancel()
    loop.remove_signal_handler(signal.SIGTERM)

def signalled_twice(on_signal):
    loop = asyncio.new_event_loop()
    loop.call_soon(signal.raise_signal, signal.SIGTERM)
    loop.call_soon(loop.call_soon, loop.call_soon, signal.raise_signal, signal.SIGTERM)
    cleanups = Cleanups()
    serve(loop, cleanups, on_signal)
    print("  cleanups:", cleanups.begun)
    for task in asyncio.all_tasks(loop):
        task.cancel()
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
    loop.close()

print("two signals")
signalled_twice(on_signal)
print("mended")
signalled_twice(on_first_signal)
