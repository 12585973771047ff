//! RESP2, Redis's protocol: the crate `redis-protocol`, with limits for what comes from outside.
//!
//! The crate decodes arrays by recursion, so a peer that nests 100,000 of them would overflow the stack. The depth is
//! therefore counted first, without recursion. A frame that grows too large is an error, and not a matter of memory.

use looplab::{Error, Result};
use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};
use redis_protocol::resp2::{decode, encode};

/// How deep arrays may be nested. No answer of Redis needs more than four.
pub const DEEPEST: usize = 32;

/// How many bytes one frame may have.
pub const LARGEST: usize = 16 << 20;

/// Takes the first frame out of what was received; `None` if it is not complete.
pub fn take_frame(received: &mut Vec<u8>) -> Result<Option<OwnedFrame>> {
    check_depth(received)?;
    if let Some((frame, length)) = decode::decode(received).map_err(Error::other)? {
        received.drain(..length);
        return Ok(Some(frame));
    }
    if received.len() > LARGEST {
        return Err(Error::msg(format!("a Redis frame of more than {LARGEST} bytes")));
    }
    Ok(None)
}

/// Returns the bytes of a frame.
pub fn to_bytes(frame: &OwnedFrame) -> Result<Vec<u8>> {
    let mut bytes = vec![0; frame.encode_len(false)];
    let length = encode::encode(&mut bytes, frame, false).map_err(Error::other)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Walks through the first frame, as far as it has come, and counts the arrays that are open.
fn check_depth(mut bytes: &[u8]) -> Result<()> {
    // How many elements each open array still has.
    let mut open: Vec<usize> = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
        let length = || std::str::from_utf8(&line[1..]).ok().and_then(|text| text.parse::<usize>().ok());
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        bytes = rest;
        match line.first() {
            Some(b'*') => open.push(length().unwrap_or(0)),
            // The bytes of a string, and the line's end after it.
            Some(b'$') => match length().map(|length| rest.get(length.saturating_add(2)..)) {
                Some(Some(after)) => bytes = after,
                Some(None) => return Ok(()),
                None => {}
            },
            _ => {}
        }
        if open.len() > DEEPEST {
            return Err(Error::msg(format!(
                "a Redis frame of more than {DEEPEST} arrays inside of each other"
            )));
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.is_empty() {
            break;
        }
    }
    Ok(())
}
