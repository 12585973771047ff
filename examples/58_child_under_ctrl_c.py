"""Ctrl-C goes to the child processes too, and a child that is not ended outlives its parent.

The terminal sends SIGINT to each process of its foreground group. A child in the parent's group dies before
the parent can ask it to finish. In a group of its own it learns of Ctrl-C from the parent: the parent
closes its input, reads the rest and waits. A child that no code ends runs on after the loop is closed.

The program sends the signals as the terminal would."""
import asyncio, os, signal
from asyncio.subprocess import PIPE

WORKER = 'while read job; do echo "did $job"; done; echo saved'

def ctrl_c(child):
    if os.getpgid(child.pid) == os.getpgrp():
        os.kill(child.pid, signal.SIGINT)
    signal.raise_signal(signal.SIGINT)

async def shut_down(worker):
    rest, _ = await worker.communicate(b"two\n")      # a last job, and the end of its input
    print("  then it says:", rest.decode().split("\n")[:-1])
    print("  return code:", worker.returncode)

async def work(group):
    worker = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", WORKER, stdin=PIPE, stdout=PIPE, process_group=group)
    worker.stdin.write(b"one\n")
    print("  the worker says:", (await worker.stdout.readline()).decode().strip())
    asyncio.get_running_loop().call_soon(ctrl_c, worker)
    try:
        await asyncio.Event().wait()                  # serving
    finally:
        await shut_down(worker)

async def forget():
    return await asyncio.create_subprocess_exec("/bin/sleep", "3600", process_group=0)

print("in the parent's group:")
try:
    asyncio.run(work(None))
except KeyboardInterrupt:
    print("  Ctrl-C")

print("in a group of its own:")
try:
    asyncio.run(work(0))
except KeyboardInterrupt:
    print("  Ctrl-C")

print("forgotten:")
child = asyncio.run(forget())
os.kill(child.pid, 0)                                 # fails if there is no such process
print("  the loop is closed, and the child runs")
os.kill(child.pid, signal.SIGKILL)
