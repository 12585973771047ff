"""A refused `run_forever()` within a run leaves the outer run as it was. In 3.13.0 it does not."""
import asyncio

def nested(loop):
    try:
        loop.run_forever()
    except RuntimeError as error:
        print("refused:", error)
    try:
        print("the running loop:", asyncio.get_running_loop() is loop)
    except RuntimeError as error:
        print("the running loop:", error)
    print("it knows that it runs:", loop.is_running())

loop = asyncio.new_event_loop()
loop.call_soon(nested, loop)
loop.call_soon(loop.stop)
loop.run_forever()
loop.close()
