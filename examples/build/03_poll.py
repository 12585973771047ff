"""The loop sleeps in the poll: one system call waits for timers and for descriptors at once."""
import asyncio, os

loop = asyncio.new_event_loop()
reader, writer = os.pipe()

done = False

def keep_busy():
    if not done:
        loop.call_soon(keep_busy)

def on_readable():
    global done
    byte = os.read(reader, 1)
    print(f"  reads {byte.decode()}")
    loop.call_soon(print, "  a callback between")
    if byte == b"c":
        loop.remove_reader(reader)
        done = True
        loop.call_later(0.01, loop.stop)

def write():
    print("  a timer writes abc")
    os.write(writer, b"abc")
    loop.call_soon(print, "  ready before the poll")
    keep_busy()

loop.add_reader(reader, on_readable)
loop.call_later(0.02, write)
print("the loop sleeps in the poll")
loop.run_forever()
print("the loop is stopped")
loop.close()
