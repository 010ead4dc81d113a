//! What a program shows nobody, it does not keep (rule R39). A program that runs for long and is no chat
//! leaves for others of its home what they should deal with, but no more of it than so much: whoever
//! writes to it must not fill its memory.

use std::collections::VecDeque;

use chat_endpoint::{Event, EventKey, Notification};

use chat_device::client::Client;
use chat_device::clock::now_ms;
use chat_text::show::claim;

/// Events that are left for another program of the home, the newest: some megabytes at most.
const LEFT_MAX: usize = 64;

/// What was left so far.
#[derive(Debug)]
pub(crate) struct Unshown {
    left: VecDeque<EventKey>,
    /// Whether this home is one that people read in, or a machine's.
    is_read: bool,
}

impl Unshown {
    /// For a home that people may read in with another program: the newest events are left for it, and
    /// what was said before them is in the history.
    pub(crate) fn of_person() -> Self {
        Self { left: VecDeque::new(), is_read: true }
    }

    /// For a home that nobody reads in: only the newest about files are left.
    pub(crate) fn of_machine() -> Self {
        Self { left: VecDeque::new(), is_read: false }
    }

    /// Takes an event that this program has nothing to do with.
    pub(crate) async fn take(&mut self, client: &Client, notification: &Notification) {
        let Some(key) = notification.key else { return };
        // What a command says is for the program that asked for it.
        if !claim(&notification.event, |_| false, now_ms()) {
            return;
        }
        if self.is_read || matches!(notification.event, Event::File { .. }) {
            self.left.push_back(key);
        } else {
            client.pass_over(key).await;
        }
        while self.left.len() > LEFT_MAX
            && let Some(oldest) = self.left.pop_front()
        {
            if self.is_read {
                client.consumed(oldest).await;
            } else {
                client.pass_over(oldest).await;
            }
        }
    }
}
