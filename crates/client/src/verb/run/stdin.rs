//! Standard input of `run`: no command gets any, so what somebody sends there is not passed over in
//! silence.
//!
//! Nothing is read: in a loop over a list the rest of the list stands there, and a service may hold a
//! pipe open for ever.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::exit::ExitStatus;
use crate::start::Failure;

/// Refuses a pipe with bytes in it, unless it was said that they are not meant.
pub(super) fn check(no_input: bool) -> Result<(), Failure> {
    if no_input || !has_bytes(io::stdin().as_fd()).unwrap_or(false) {
        return Ok(());
    }
    Err(Failure::Other {
        status: ExitStatus::Usage,
        reason: "somebody sends bytes to standard input, and a command over there gets none; say \
                 -n, or < /dev/null, if it needs none"
            .to_owned(),
    })
}

/// Whether a pipe or a socket has bytes that nobody has read.
fn has_bytes(input: BorrowedFd<'_>) -> io::Result<bool> {
    let kind = File::from(input.try_clone_to_owned()?).metadata()?.file_type();
    if !kind.is_fifo() && !kind.is_socket() {
        return Ok(false);
    }
    // The end of a pipe is told by another flag than bytes in it.
    let mut fds = [PollFd::from_borrowed_fd(input, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let [fd] = fds;
    if kind.is_fifo() {
        return Ok(fd.revents().contains(PollFlags::IN));
    }
    // Of a socket the end counts as something to read.
    Ok(fd.revents().contains(PollFlags::IN) && rustix::io::ioctl_fionread(input)? > 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Goal: only bytes that wait count: neither an open pipe, nor its end, nor a file, and asking
    /// takes none of them.
    #[test]
    fn only_bytes_that_wait_count() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        assert!(!has_bytes(reader.as_fd()).expect("asked"), "an open pipe");
        writer.write_all(b"list").expect("written");
        assert!(has_bytes(reader.as_fd()).expect("asked"));
        drop(writer);
        assert!(has_bytes(reader.as_fd()).expect("asked"), "they wait behind the end, too");
        assert_eq!(io::read_to_string(&reader).expect("read"), "list", "none was taken");
        assert!(!has_bytes(reader.as_fd()).expect("asked"), "the end");
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        assert!(!has_bytes(ours.as_fd()).expect("asked"), "an open socket");
        theirs.write_all(b"x").expect("written");
        assert!(has_bytes(ours.as_fd()).expect("asked"));
        for path in ["/dev/null", "/proc/self/status"] {
            let file = File::open(path).expect("opened");
            assert!(!has_bytes(file.as_fd()).expect("asked"), "{path}");
        }
    }
}
