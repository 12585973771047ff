//! What `readuntil` may look for: one separator, or several.

use crate::error::{Error, Result};
use std::borrow::Cow;

/// One or several separators, as [`StreamReader::readuntil`](super::StreamReader::readuntil) takes them: bytes or a
/// text, or an array or a `Vec` of these.
///
/// ```
/// use looplab::net::Separators;
/// Separators::from(b"\r\n");
/// Separators::from("\n");
/// Separators::from(["\n", "\r\n"]);
/// ```
#[derive(Clone, Debug)]
pub struct Separators {
    /// Shortest first, so that the shortest match wins (as in asyncio).
    list: List,
}

#[derive(Clone, Debug)]
enum List {
    One(Cow<'static, [u8]>),
    Many(Vec<Cow<'static, [u8]>>),
}

/// Where a separator was found.
pub(super) struct Match {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Separators {
    pub(super) const NEWLINE: Self = Self { list: List::One(Cow::Borrowed(b"\n")) };

    fn many<T: AsRef<[u8]>>(all: impl IntoIterator<Item = T>) -> Self {
        let mut list: Vec<Cow<'static, [u8]>> =
            all.into_iter().map(|one| Cow::Owned(one.as_ref().to_vec())).collect();
        list.sort_by_key(|one| one.len());
        Self { list: List::Many(list) }
    }

    fn all(&self) -> &[Cow<'static, [u8]>] {
        match &self.list {
            List::One(one) => std::slice::from_ref(one),
            List::Many(many) => many,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.all() {
            [] => Err(Error::Value("Separator should contain at least one element".into())),
            [first, ..] if first.is_empty() => {
                Err(Error::Value("Separator should be at least one-byte string".into()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn shortest(&self) -> usize {
        self.all().first().map_or(0, |one| one.len())
    }

    pub(super) fn longest(&self) -> usize {
        self.all().last().map_or(0, |one| one.len())
    }

    /// The match that ends first; of those, the one of the shortest separator.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<Match> {
        let mut first: Option<Match> = None;
        for separator in self.all() {
            let Some(start) = find(bytes, separator, from) else { continue };
            let end = start + separator.len();
            if first.as_ref().is_none_or(|first| end < first.end) {
                first = Some(Match { start, end });
            }
        }
        first
    }
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let (head, tail) = wanted.split_first()?;
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| byte == head)?;
        if bytes[at + 1..].starts_with(tail) {
            return Some(at);
        }
        at += 1;
    }
}

impl From<&[u8]> for Separators {
    fn from(one: &[u8]) -> Self {
        Self { list: List::One(Cow::Owned(one.to_vec())) }
    }
}

impl From<&str> for Separators {
    fn from(one: &str) -> Self {
        Self::from(one.as_bytes())
    }
}

impl From<Vec<u8>> for Separators {
    fn from(one: Vec<u8>) -> Self {
        Self { list: List::One(Cow::Owned(one)) }
    }
}

impl<const N: usize> From<&[u8; N]> for Separators {
    fn from(one: &[u8; N]) -> Self {
        Self::from(&one[..])
    }
}

impl<T: AsRef<[u8]>, const N: usize> From<[T; N]> for Separators {
    fn from(all: [T; N]) -> Self {
        Self::many(all)
    }
}

impl From<Vec<Vec<u8>>> for Separators {
    fn from(all: Vec<Vec<u8>>) -> Self {
        Self::many(all)
    }
}

impl From<&[&[u8]]> for Separators {
    fn from(all: &[&[u8]]) -> Self {
        Self::many(all)
    }
}
