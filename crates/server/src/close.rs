//! Why the hub ends a connection: the one place that owns the WebSocket close codes.

use std::{borrow::Cow, fmt};

use tokio_tungstenite::tungstenite::{
    Error,
    error::CapacityError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// A reason to end a connection, as the peer is told it.
///
/// Clients reconnect after `Restart`, `SlowConsumer` and `TryLater`; after the others they would
/// only meet the same answer again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// 1000: the peer said goodbye, or has been answered and is done.
    Done,
    /// 1002: bytes that are not the WebSocket protocol or not ours.
    Protocol(Cow<'static, str>),
    /// 1007: a text message that is not UTF-8.
    NotUtf8,
    /// 1008: allowed by the protocol, not by this hub (a flood, a refused or late sign-in).
    Policy(Cow<'static, str>),
    /// 1009: a frame or message above its bound.
    TooLarge(Cow<'static, str>),
    /// 1011: our own failure.
    Internal,
    /// 1012: the hub stops, and whether it starts again is not for it to say; come back.
    Restart,
    /// 1013: the peer does not read. Nothing is lost: it catches up from its cursor.
    SlowConsumer(Cow<'static, str>),
    /// 1013: no room now; come back later.
    TryLater(Cow<'static, str>),
}

/// A close frame is a control frame (125 bytes) with a code of two.
const REASON_BYTES_MAX: usize = 123;

impl CloseReason {
    /// The code of RFC 6455, section 7.4.
    pub fn code(&self) -> u16 {
        match self {
            Self::Done => 1000,
            Self::Protocol(_) => 1002,
            Self::NotUtf8 => 1007,
            Self::Policy(_) => 1008,
            Self::TooLarge(_) => 1009,
            Self::Internal => 1011,
            Self::Restart => 1012,
            Self::SlowConsumer(_) | Self::TryLater(_) => 1013,
        }
    }

    /// One sentence for people.
    pub fn text(&self) -> &str {
        match self {
            Self::Done => "goodbye",
            Self::NotUtf8 => "a text message must be UTF-8",
            Self::Internal => "internal error of the server",
            Self::Restart => "the server has stopped",
            Self::Protocol(text)
            | Self::Policy(text)
            | Self::TooLarge(text)
            | Self::SlowConsumer(text)
            | Self::TryLater(text) => text,
        }
    }

    /// The frame that says so; the text is cut where it would not fit.
    pub fn to_frame(&self) -> CloseFrame {
        let text = self.text();
        let cut = (0..=REASON_BYTES_MAX.min(text.len()))
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or(0);
        let reason = text.get(..cut).unwrap_or_default();
        CloseFrame { code: CloseCode::from(self.code()), reason: reason.into() }
    }

    /// What to tell a peer whose bytes the WebSocket library refused, or `None` where there is
    /// nobody left to tell.
    pub fn for_error(error: &Error) -> Option<Self> {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                Some(Self::TooLarge(format!("message of {size} bytes, limit {max_size}").into()))
            }
            Error::Capacity(_) => Some(Self::TooLarge("message too large".into())),
            Error::Utf8(_) => Some(Self::NotUtf8),
            Error::Protocol(problem) => Some(Self::Protocol(problem.to_string().into())),
            Error::Io(error) if error.kind() == std::io::ErrorKind::QuotaExceeded => {
                Some(Self::Policy(error.to_string().into()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let reason = CloseReason::Policy("ü".repeat(100).into());
        let frame = reason.to_frame();
        assert_eq!(u16::from(frame.code), 1008);
        assert_eq!(frame.reason.len(), 122, "two bytes each, so 123 is no boundary");
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        let cases = [
            (CloseReason::Done, 1000),
            (CloseReason::NotUtf8, 1007),
            (CloseReason::Internal, 1011),
            (CloseReason::Restart, 1012),
            (CloseReason::SlowConsumer("x".into()), 1013),
        ];
        for (reason, code) in cases {
            assert_eq!(reason.code(), code, "{reason}");
        }
        let closed = CloseReason::for_error(&Error::ConnectionClosed);
        assert_eq!(closed, None, "nobody is left to tell");
    }
}
