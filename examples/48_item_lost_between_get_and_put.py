"""An item is lost if a cancellation comes between `get` and `put`.

The task has taken the item from one queue and has not put it into the next one. It is the only one that
knows of the item. If the await between the two calls fails, the item must go back."""
import asyncio

PACKING = 0.005

async def packer(inbox, shelf):
    while not inbox.empty():
        parcel = await inbox.get()
        await asyncio.sleep(PACKING)
        await shelf.put(parcel)

async def careful_packer(inbox, shelf):
    while not inbox.empty():
        parcel = await inbox.get()
        try:
            await asyncio.sleep(PACKING)
        except asyncio.CancelledError:
            inbox.put_nowait(parcel)
            raise
        shelf.put_nowait(parcel)

async def cancelled(packer):
    inbox, shelf = asyncio.Queue(), asyncio.Queue()
    for parcel in 1, 2, 3:
        inbox.put_nowait(parcel)
    packing = asyncio.create_task(packer(inbox, shelf))
    await asyncio.sleep(0)
    packing.cancel()
    await asyncio.wait([packing])
    print(f"  inbox: {inbox.qsize()}, shelf: {shelf.qsize()}")

print("cancelled while it packs")
asyncio.run(cancelled(packer))
print("mended")
asyncio.run(cancelled(careful_packer))
