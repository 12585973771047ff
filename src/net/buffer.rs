//! `Buffer`: bytes that are added at the end and taken from the front; and the thread's read buffer.
//!
//! It guarantees that a byte is moved at most once for each byte that is taken, and twice for each byte that is added. An
//! empty buffer of an idle connection holds nearly no memory. Alternative: `VecDeque<u8>`. Problem: its two halves would
//! have to be searched and sent separately.

use std::cell::Cell;

/// The size of one read, as in asyncio's transports.
const READ_SIZE: usize = 256 * 1024;
/// A larger buffer gives its memory back when it becomes empty.
const KEPT: usize = 2 * 1024;

thread_local! {
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's read buffer, so that an idle connection needs none. A nested call gets another buffer.
pub(super) fn with_read_buffer<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = READ_BUFFER.try_with(Cell::take).unwrap_or_default();
    if buffer.is_empty() {
        buffer = vec![0; READ_SIZE];
    }
    let result = f(&mut buffer);
    let _ = READ_BUFFER.try_with(|cell| cell.set(buffer));
    result
}

#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// The bytes before this index are taken.
    start: usize,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn extend(&mut self, more: &[u8]) {
        let is_full = self.bytes.len() + more.len() > self.bytes.capacity();
        // A smaller gap is not worth moving the rest: the vector grows, and `consume` closes the gap later.
        if is_full && self.start > 0 && self.start >= self.bytes.len() / 2 {
            self.close_up();
        }
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(more.len());
        }
        self.bytes.extend_from_slice(more);
    }

    /// Drops up to `n` bytes at the front.
    pub(super) fn consume(&mut self, n: usize) {
        self.start += n.min(self.len());
        if self.start == self.bytes.len() {
            self.clear();
        } else if self.start > self.bytes.len() / 2 {
            // Each byte is moved at most once for each byte that was taken.
            self.close_up();
        }
    }

    fn close_up(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
    }

    /// Takes up to `n` bytes from the front.
    pub(super) fn take(&mut self, n: usize) -> Vec<u8> {
        if n >= self.len() && self.start == 0 {
            return std::mem::take(&mut self.bytes);
        }
        let taken = self.as_slice()[..n.min(self.len())].to_vec();
        self.consume(n);
        taken
    }

    /// Puts taken bytes back at the front.
    pub(super) fn put_back(&mut self, mut taken: Vec<u8>) {
        taken.extend_from_slice(self.as_slice());
        *self = Self { bytes: taken, start: 0 };
    }

    pub(super) fn clear(&mut self) {
        self.start = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_however_it_is_cut() {
        let mut bytes = Buffer::default();
        let (mut fed, mut got) = (0_u32, Vec::new());
        for round in 0..500_u32 {
            let chunk: Vec<u8> = (0..round % 37).map(|n| ((fed + n) % 251) as u8).collect();
            fed += round % 37;
            bytes.extend(&chunk);
            got.extend(bytes.take((round % 23) as usize));
            if round % 50 == 0 {
                let taken = bytes.take(5);
                bytes.put_back(taken);
            }
        }
        got.extend(bytes.take(usize::MAX));
        assert!(bytes.is_empty());
        assert_eq!(got, (0..fed).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    }

    /// How many bytes a step moves: those after the gap when it is closed, and all when the vector grows.
    fn moved(bytes: &mut Buffer, step: impl FnOnce(&mut Buffer)) -> usize {
        let (start, len, capacity) = (bytes.start, bytes.bytes.len(), bytes.bytes.capacity());
        step(bytes);
        let closed = if bytes.start < start { len - start } else { 0 };
        let grown = if bytes.bytes.capacity() > capacity { len } else { 0 };
        closed + grown
    }

    #[test]
    fn a_full_buffer_that_is_fed_and_taken_from_moves_a_byte_for_each_byte_at_most() {
        const BUFFERED: usize = 64 * 1024;
        const ROUNDS: usize = 50_000;
        const CHUNK: usize = 10;
        let mut bytes = Buffer::default();
        bytes.extend(&vec![0; BUFFERED]);
        let mut total = 0;
        for _ in 0..ROUNDS {
            total += moved(&mut bytes, |bytes| bytes.consume(CHUNK));
            total += moved(&mut bytes, |bytes| bytes.extend(&[0; CHUNK]));
        }
        assert_eq!(bytes.len(), BUFFERED);
        assert!(total <= ROUNDS * CHUNK + 2 * BUFFERED, "{total} bytes moved for {}", ROUNDS * CHUNK);
        assert!(bytes.bytes.capacity() <= 4 * BUFFERED, "{}", bytes.bytes.capacity());
    }

    #[test]
    fn a_backlog_that_grows_after_a_small_gap_moves_each_byte_twice_at_most() {
        let mut bytes = Buffer::default();
        let (mut fed, mut total) = (0, 0);
        for _ in 0..4_000 {
            total += moved(&mut bytes, |bytes| bytes.extend(&[0; 1024]));
            total += moved(&mut bytes, |bytes| bytes.consume(1));
            fed += 1024;
        }
        assert!(total <= 2 * fed, "{total} bytes moved for {fed}");
    }

    #[test]
    fn an_empty_one_holds_no_large_memory() {
        let mut bytes = Buffer::default();
        bytes.extend(&[0; 100_000]);
        bytes.consume(99_999);
        bytes.consume(1);
        assert!(bytes.bytes.capacity() <= KEPT);
    }
}
