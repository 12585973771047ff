//! An item is lost if a cancellation comes between `get` and `put`.
//!
//! The task has taken the item from one queue and has not put it into the next one. It is the only one
//! that knows of the item. If the await between the two calls fails, the item must go back.

use looplab::explore::Explore;
use looplab::sync::Queue;
use looplab::{Error, Result, ReturnWhen, create_task, sleep, wait, yield_now};
use std::time::Duration;

/// How long it takes to pack a parcel.
const PACKING: Duration = Duration::from_millis(5);

/// As it is often written.
async fn packer(inbox: Queue<u32>, shelf: Queue<u32>) -> Result<()> {
    while !inbox.empty() {
        let parcel = inbox.get().await?;
        sleep(PACKING).await?;
        shelf.put(parcel).await?;
    }
    Ok(())
}

/// Mended: the parcel goes back.
async fn careful_packer(inbox: Queue<u32>, shelf: Queue<u32>) -> Result<()> {
    while !inbox.empty() {
        let parcel = inbox.get().await?;
        if let Err(error) = sleep(PACKING).await {
            inbox.put_nowait(parcel)?;
            return Err(error);
        }
        shelf.put_nowait(parcel)?;
    }
    Ok(())
}

/// An inbox with three parcels, and an empty shelf.
fn stock() -> Result<(Queue<u32>, Queue<u32>)> {
    let (inbox, shelf) = (Queue::new(0), Queue::new(0));
    (1..=3).try_for_each(|parcel| inbox.put_nowait(parcel))?;
    Ok((inbox, shelf))
}

/// Runs a packer, and cancels it while it packs the first parcel.
async fn cancelled<P>(packer: fn(Queue<u32>, Queue<u32>) -> P) -> Result<()>
where
    P: Future<Output = Result<()>> + 'static,
{
    let (inbox, shelf) = stock()?;
    let packing = create_task(packer(inbox.clone(), shelf.clone()));
    yield_now().await?;
    packing.cancel();
    wait([packing], ReturnWhen::AllCompleted, None).await?;
    println!("  inbox: {}, shelf: {}", inbox.qsize(), shelf.qsize());
    Ok(())
}

/// Cancels a packer at each point, and any two points.
fn explored<P>(packer: fn(Queue<u32>, Queue<u32>) -> P) -> Explore
where
    P: Future<Output = Result<()>> + 'static,
{
    Explore::new(move |world| {
        let (inbox, shelf) = stock()?;
        let (left, packed) = (inbox.clone(), shelf.clone());
        world.finally(move || match left.qsize() + packed.qsize() {
            3 => Ok(()),
            n => Err(Error::msg(format!("3 parcels became {n}"))),
        });
        world.main(packer(inbox, shelf))
    })
    .cancels()
    .pairs()
}

fn main() -> Result<()> {
    println!("cancelled while it packs");
    looplab::run(cancelled(packer))?;
    println!("mended");
    looplab::run(cancelled(careful_packer))?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(packer).run()?);
    eprintln!("mended\n{}", explored(careful_packer).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
// Next: 49_lock_released_by_hand.rs
