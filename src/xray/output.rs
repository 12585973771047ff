//! What the program prints, if its standard output is a regular file.
//!
//! The position in that file tells how much was printed, and the text is read back from the file. So
//! nothing is redirected, and the program needs no change. A terminal and a pipe have no position:
//! then nothing is seen. Only a system with `/proc` lets the file be read.
//!
//! The text begins at the beginning of the file, or at its end for a file that is appended to. What
//! another process prints to the same file is taken for the program's.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};

/// How much is read at once.
const CHUNK: u64 = 64 * 1024;

/// Standard output as a file.
#[derive(Debug)]
pub(super) struct Output {
    /// A duplicate of the descriptor, which shares its position.
    written: File,
    read: File,
    /// Where the next text begins.
    position: u64,
    /// The beginning of a character whose other bytes are not printed yet.
    rest: Vec<u8>,
}

impl Output {
    /// Returns the standard output of this process if it is a regular file that can be read.
    pub(super) fn of_process() -> Option<Self> {
        let read = File::open("/proc/self/fd/1").ok().filter(is_regular)?;
        let written = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
        let (one, other) = (read.metadata().ok()?, written.metadata().ok()?);
        if (one.dev(), one.ino()) != (other.dev(), other.ino()) {
            return None;
        }
        let position = if is_appended_to() { one.len() } else { 0 };
        Some(Self { written, read, position, rest: Vec::new() })
    }

    /// Returns what was printed since the last call, at most a chunk of it.
    pub(super) fn take(&mut self) -> Option<String> {
        let end = self.written.stream_position().ok()?;
        if end <= self.position {
            self.position = end;
            return None;
        }
        let mut bytes = std::mem::take(&mut self.rest);
        let kept = bytes.len();
        bytes.resize(kept + CHUNK.min(end - self.position) as usize, 0);
        let count = self.read.read_at(&mut bytes[kept..], self.position).unwrap_or(0);
        bytes.truncate(kept + count);
        self.position = if count == 0 { end } else { self.position + count as u64 };
        self.rest = bytes.split_off(whole_characters(&bytes));
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Writes what `print!` has kept back. If another thread holds the lock of standard output, this
/// waits for it, as a `print!` would.
pub(super) fn flush() {
    let _ = io::stdout().flush();
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Whether each write to standard output goes to the end of the file. The position then says nothing
/// before the first write.
fn is_appended_to() -> bool {
    const O_APPEND: u32 = 0o2000;
    let info = fs::read_to_string("/proc/self/fdinfo/1").unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & O_APPEND != 0)
}

/// Returns how many bytes there are without the beginning of a character at their end.
fn whole_characters(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(3);
    // A byte above 0b1100_0000 begins a character of two to four bytes.
    let begin = (last..bytes.len()).rev().find(|i| bytes[*i] >= 0b1100_0000);
    match begin {
        Some(begin) if bytes.len() - begin < length_of_character(bytes[begin]) => begin,
        _ => bytes.len(),
    }
}

fn length_of_character(first: u8) -> usize {
    match first {
        0b1111_0000.. => 4,
        0b1110_0000.. => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_is_printed_in_two_parts_is_kept_whole() {
        for text in ["", "a", "é", "aé", "✓", "a✓", "🦀", "a🦀"] {
            let bytes = text.as_bytes();
            assert_eq!(whole_characters(bytes), bytes.len(), "{text}");
        }
        for (whole, part) in
            [("", &"é".as_bytes()[..1]), ("a", &"✓".as_bytes()[..2]), ("b", &"🦀".as_bytes()[..3])]
        {
            let bytes = [whole.as_bytes(), part].concat();
            assert_eq!(whole_characters(&bytes), whole.len(), "{bytes:?}");
        }
        assert_eq!(whole_characters(b"\xff\x80\x80\x80\x80"), 5, "what is no character is not kept back");
    }
}
