//! `looplab::sync`: each primitive alone, and all of them in random programs.
//!
//! | promise | test |
//! |---|---|
//! | A lock is fair. | `lock::a_lock_is_fair_and_a_newcomer_queues_behind_all` |
//! | `Event::set` wakes all waiters, in order. | `event::set_wakes_all_waiters_each_in_the_next_turn_and_in_order` |
//! | A condition's wait has the lock again when it returns or fails. | `condition::wait_swallows_cancels_until_it_has_the_lock_and_raises_the_last_one` |
//! | A semaphore loses no permit to a cancelled waiter. | `semaphore::a_cancelled_owner_to_be_returns_its_permit_to_the_next` |
//! | A queue loses no item to a cancelled getter. | `queue::the_item_stays_in_the_queue_if_the_only_getter_is_cancelled_after_being_woken` |
//! | Priority queues give the lowest item first, equal ones in order. | `queue_items::a_priority_queue_gives_the_lowest_first_and_equals_in_order` |
//! | A barrier lets all go on together, or breaks. | `barrier::all_go_on_in_the_turn_after_the_last_has_come_with_the_numbers_from_zero` |
//! | All of this holds in random programs with random cancels. | `random::under_random_cancellations_no_hand_over_is_lost_and_the_order_is_that_of_asking` |

mod barrier;
mod condition;
mod event;
mod lock;
mod queue;
mod queue_items;
mod random;
mod semaphore;
mod stage;
