"""A signal handler that stops the loop and then starts the cleanup gets no cleanup.

The work's usual end is right: it saves, and then it stops. Only the handler has the two in the wrong order,
so every test without a signal passes. The cleanup must stop the loop at its end."""
import asyncio, signal, warnings

warnings.simplefilter("ignore")               # "coroutine 'save' was never awaited", a second report

class Service:
    ending = saved = False

async def save(service):
    await asyncio.sleep(0.005)
    service.saved = True

async def save_and_stop(service):
    await save(service)
    asyncio.get_running_loop().stop()

def on_signal(loop, service):
    if not service.ending:
        service.ending = True
        loop.stop()
        loop.create_task(save(service), name="save")

def end(loop, service):
    if not service.ending:
        service.ending = True
        loop.create_task(save_and_stop(service), name="save")

def serve(loop, service, on_signal):
    loop.add_signal_handler(signal.SIGTERM, on_signal, loop, service)
    work = loop.call_later(60, end, loop, service)
    loop.run_forever()
    work.cancel()
    loop.remove_signal_handler(signal.SIGTERM)

def handler(loop, context):
    print("  handler:", context["message"])

def signalled(on_signal):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(handler)
    loop.call_soon(signal.raise_signal, signal.SIGTERM)
    service = Service()
    serve(loop, service, on_signal)
    print("  run_forever has returned, and it is", "saved" if service.saved else "not saved")
    loop.close()

print("a signal")
signalled(on_signal)
print("mended")
signalled(end)
