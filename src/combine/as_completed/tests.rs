//! What leaving the line costs, counted in waiters that are looked at.

use super::as_completed;
use crate::{Error, EventLoop, create_task, yield_now};
use std::cell::Cell;

thread_local! { pub(super) static LOOKS: Cell<usize> = const { Cell::new(0) } }

#[test]
fn cancelling_n_awaits_last_first_is_not_quadratic() {
    let looks = |n| {
        LOOKS.set(0);
        let program = async move {
            let lp = crate::get_running_loop()?;
            let futures: Vec<_> = (0..n).map(|_| lp.create_future::<()>()).collect();
            let awaits: Vec<_> = as_completed(&futures).map(create_task).collect();
            yield_now().await?;
            for one in awaits.iter().rev() {
                one.cancel();
            }
            for one in awaits {
                assert!(matches!(one.await, Err(Error::Cancelled(_))));
            }
            Ok(())
        };
        EventLoop::new().and_then(|lp| lp.run_until_complete(program)).unwrap();
        LOOKS.get()
    };
    let (few, many): (usize, usize) = (looks(100), looks(1_000));
    assert!(few >= 100 && many < 20 * few, "100 awaits cost {few} looks, 1,000 cost {many}");
}
