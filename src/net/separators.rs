//! `Separators`: the one or several separators that `readuntil` searches for.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;

/// One or several separators for [`StreamReader::readuntil`](super::StreamReader::readuntil): bytes or a text, or an array
/// or a `Vec` of these.
///
/// ```
/// use looplab::net::Separators;
/// Separators::from(b"\r\n");
/// Separators::from("\n");
/// Separators::from(["\n", "\r\n"]);
/// ```
#[derive(Clone, Debug)]
pub struct Separators(
    /// Shortest first, so that the shortest match wins, as in asyncio.
    Cow<'static, [Cow<'static, [u8]>]>,
);

impl Separators {
    /// Allocates nothing.
    pub(super) const NEWLINE: Self = Self(Cow::Borrowed(&[Cow::Borrowed(b"\n")]));

    fn new<T: AsRef<[u8]>>(separators: impl IntoIterator<Item = T>) -> Self {
        let separators = separators.into_iter().map(|separator| separator.as_ref().to_vec().into());
        let mut separators: Vec<Cow<'static, [u8]>> = separators.collect();
        separators.sort_by_key(|separator| separator.len());
        Self(separators.into())
    }

    pub(super) fn check(&self) -> Result<()> {
        match &*self.0 {
            [] => Err(Error::Value("Separator should contain at least one element".into())),
            [shortest, ..] if shortest.is_empty() => {
                Err(Error::Value("Separator should be at least one-byte string".into()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn shortest(&self) -> usize {
        self.0.first().map_or(0, |separator| separator.len())
    }

    pub(super) fn longest(&self) -> usize {
        self.0.last().map_or(0, |separator| separator.len())
    }

    /// Returns the match that ends first, and of several the one of the shortest separator.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<Range<usize>> {
        let matches = self.0.iter().filter_map(|separator| {
            let start = find(bytes, separator, from)?;
            Some(start..start + separator.len())
        });
        // The first of several minima.
        matches.min_by_key(|found| found.end)
    }
}

/// Returns the first place in `bytes`, from `from` on, at which the separator begins.
fn find(bytes: &[u8], separator: &[u8], from: usize) -> Option<usize> {
    let (head, tail) = separator.split_first()?;
    let mut starts = (from..bytes.len()).filter(|start| bytes[*start] == *head);
    starts.find(|start| bytes[start + 1..].starts_with(tail))
}

conversions! { Separators:
    separator: &[u8] => Self::new([separator]);
    separator: &str => Self::new([separator]);
    separator: Vec<u8> => Self::new([separator]);
    separators: Vec<Vec<u8>> => Self::new(separators);
    separators: &[&[u8]] => Self::new(separators);
}

impl<const N: usize> From<&[u8; N]> for Separators {
    fn from(separator: &[u8; N]) -> Self {
        Self::new([separator])
    }
}

impl<T: AsRef<[u8]>, const N: usize> From<[T; N]> for Separators {
    fn from(separators: [T; N]) -> Self {
        Self::new(separators)
    }
}
