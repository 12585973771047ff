//! `DropGuard`: cleanup for an await that may be cancelled or dropped.
//!
//! It guarantees that the cleanup runs exactly once: at the latest when the guard is dropped, never
//! after `disarm`.

/// Calls a function when it is dropped, unless it was disarmed.
#[must_use = "the cleanup runs when the guard is dropped"]
pub(crate) struct DropGuard<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> DropGuard<F> {
    pub(crate) fn new(cleanup: F) -> Self {
        Self(Some(cleanup))
    }

    /// Drops the guard without the cleanup.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for DropGuard<F> {
    fn drop(&mut self) {
        if let Some(cleanup) = self.0.take() {
            cleanup();
        }
    }
}
