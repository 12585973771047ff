//! The file of a trace.
//!
//! Opening it never waits, follows no link and harms no other file. Only its owner may read it, and
//! one process at a time writes it. A second process writes a file of its own with its process id
//! in the name, so children need no setting.
//!
//! A new file is made exclusively, which follows no link. An old one is looked at before it is
//! opened, and compared after. Alternative: `O_NOFOLLOW` and `O_NONBLOCK`. Problem: their values
//! differ from system to system.

use crate::environment::effective_user;
use std::fs::{self, File, FileType, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Only the owner reads and writes.
const MODE: u32 = 0o600;

/// Opens `path` for a trace, empty and locked. If another process writes `x.jsonl`, opens
/// `x.PID.jsonl`. Returns the file's path too.
pub(super) fn create(path: &Path) -> io::Result<(File, PathBuf)> {
    if let Some(file) = lock(open(path)?)? {
        return Ok((file, path.to_owned()));
    }
    let extension = path.extension().unwrap_or_default().display();
    let own = path.with_extension(format!("{}.{extension}", std::process::id()));
    match lock(open(&own)?)? {
        Some(file) => Ok((file, own)),
        None => Err(refused("is written by another process")),
    }
}

/// Opens a new file, or an old one that passes all checks. The content of an old one stays.
fn open(path: &Path) -> io::Result<File> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open_old(path),
        new => new,
    }
}

fn open_old(path: &Path) -> io::Result<File> {
    let seen = fs::symlink_metadata(path)?;
    if !seen.is_file() {
        return Err(refused(&format!("is {}", kind(seen.file_type()))));
    }
    // Opened to read and to write, which does not wait, not even if a FIFO has taken the file's
    // place.
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) != (seen.dev(), seen.ino()) {
        return Err(refused("was replaced while it was opened"));
    }
    if opened.nlink() > 1 {
        return Err(refused("is known by other names, too (hard links)"));
    }
    if effective_user().is_some_and(|user| user != opened.uid()) {
        return Err(refused("belongs to another user"));
    }
    file.set_permissions(Permissions::from_mode(MODE))?;
    Ok(file)
}

/// Locks and empties the file; `None` if another process has locked it.
fn lock(file: File) -> io::Result<Option<File>> {
    // Any other error comes from a file system without locks: the trace is worth more than the
    // lock.
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(None);
    }
    file.set_len(0)?;
    Ok(Some(file))
}

fn refused(what: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidInput,
        format!("the file {what}; a trace goes to a new file, or to an old regular one"),
    )
}

fn kind(file: FileType) -> &'static str {
    if file.is_symlink() {
        "a symbolic link"
    } else if file.is_dir() {
        "a directory"
    } else {
        "no regular file"
    }
}
