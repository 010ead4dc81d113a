//! Stable codes of refusals. Scripts rely on them: a code keeps its meaning for ever.

/// Declares the codes once: constant, text on the wire, and the list for tests and documents.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// Every code.
        pub const ALL: &[&str] = &[$($text),*];
    };
}

codes! {
    /// The name belongs to somebody else.
    NAME_TAKEN = "E_NAME_TAKEN";
    /// The name is signed in elsewhere.
    NAME_IN_USE = "E_NAME_IN_USE";
    /// The name breaks the rules of names.
    NAME_INVALID = "E_NAME_INVALID";
    /// Nobody has this name.
    NO_SUCH_USER = "E_NO_SUCH_USER";
    /// The sign-in was refused: unknown name, wrong password or wrong key.
    SIGN_IN = "E_SIGN_IN";
    /// This device is shut out of its account: its key was revoked, or the account has another identity.
    REVOKED = "E_REVOKED";
    /// The device has published newer keys than these: another copy of its home has gone on.
    OLD_KEYS = "E_OLD_KEYS";
    /// A new account needs a code, and none or no good one was given; or no account is made here.
    INVITE = "E_INVITE";
    /// The operator of the hub keeps this account, name, key or address out.
    BARRED = "E_BARRED";
    /// The message is malformed; the reason says where.
    MALFORMED = "E_MALFORMED";
    /// The tag is none that the hub knows.
    UNKNOWN_TAG = "E_UNKNOWN_TAG";
    /// The signature does not belong to the sender and the content.
    BAD_SIGNATURE = "E_BAD_SIGNATURE";
    /// Sender, conversation and recipient do not go together.
    NOT_ALLOWED = "E_NOT_ALLOWED";
    /// The sender is no member of the conversation.
    NOT_A_MEMBER = "E_NOT_A_MEMBER";
    /// There is no such room, as far as the asker may know.
    NO_SUCH_ROOM = "E_NO_SUCH_ROOM";
    /// A counter that was used before, with another frame.
    REPLAY = "E_REPLAY";
    /// An id that was used before, with another frame.
    CONFLICT = "E_CONFLICT";
    /// Another epoch was accepted first, or the epoch is unknown.
    EPOCH = "E_EPOCH";
    /// The membership chain has moved on, or an epoch names somebody it must not.
    MEMBERS = "E_MEMBERS";
    /// The clocks differ by more than five minutes.
    CLOCK = "E_CLOCK";
    /// Too many recipients, or too many requests.
    TOO_MANY = "E_TOO_MANY";
    /// The hub's disk is full; reading goes on.
    STORAGE_FULL = "E_STORAGE_FULL";
    /// Too much waits for the recipient, who is away. Nothing older was dropped.
    MAILBOX_FULL = "E_MAILBOX_FULL";
    /// The copies that this person leaves at the hub take all the room they may.
    COPIES_FULL = "E_COPIES_FULL";
    /// Nothing is kept under this transfer.
    NO_SUCH_COPY = "E_NO_SUCH_COPY";
    /// The copy lies at a server that is away; the others know of it and do not have it.
    COPY_AWAY = "E_COPY_AWAY";
    /// The other side of a transfer did not come, went away or gave up.
    NO_PEER = "E_NO_PEER";
    /// The target accepts no commands.
    NO_AGENT = "E_NO_AGENT";
    /// The command was meant for another restart or key of the target.
    STALE = "E_STALE";
    /// The policy of the target does not allow it.
    POLICY = "E_POLICY";
    /// The command's time to start has passed.
    EXPIRED = "E_EXPIRED";
    /// The command was killed at its time limit, or at its limit of CPU time.
    TIMEOUT = "E_TIMEOUT";
    /// The command was started and its end is not known. It is never run again.
    INTERRUPTED = "E_INTERRUPTED";
    /// The command was taken back by whoever had sent it.
    CANCELLED = "E_CANCELLED";
    /// The command came after a later one of its sender, or one before it has not come.
    ORDER = "E_ORDER";
    /// The device does not trust the key of the other side.
    UNTRUSTED = "E_UNTRUSTED";
    /// There is no such file, or it cannot be read now.
    NO_SUCH_FILE = "E_NO_SUCH_FILE";
    /// The message could not be sealed or opened.
    UNREADABLE = "E_UNREADABLE";
    /// What came is not what it should be, and is not used.
    INTEGRITY = "E_INTEGRITY";
}

/// The code of a receipt for a message that could not be read, whatever the cause (rule R8).
pub const DELIVERED_UNREADABLE: &str = "unreadable";
