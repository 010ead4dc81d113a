//! A search of the whole home beside the screen: some messages at a time, so that pages are read between them.

use chat_device::client::Client;
use chat_device::history::{Found, History};
use chat_device::ignored::Ignored;
use chat_protocol::sanitise;
use chat_talk::{Talk, Told};
use chat_text::item::{Answer, What};
use tokio::task::JoinHandle;

/// Messages that are looked at before others may read the home.
const AT_A_TIME: u64 = 1_000;

/// A search under way; another one takes its place.
#[derive(Debug, Default)]
pub(super) struct Searching(Option<JoinHandle<Told>>);

impl Searching {
    /// Begins one.
    pub(super) fn begin(&mut self, talk: &Talk, words: Vec<String>) {
        self.stop();
        let (client, ignored) = (talk.client().clone(), talk.ignored().clone());
        self.0 = Some(tokio::spawn(search(client, words, ignored)));
    }

    fn stop(&mut self) {
        if let Some(before) = self.0.take() {
            before.abort();
        }
    }

    /// What was found, once. May be dropped at any time without loss.
    pub(super) async fn next(&mut self) -> Told {
        let Some(going) = &mut self.0 else { return std::future::pending().await };
        let told = going.await.unwrap_or_default();
        self.0 = None;
        told
    }
}

impl Drop for Searching {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn search(client: Client, words: Vec<String>, ignored: Ignored) -> Told {
    let mut found = Found::default();
    loop {
        let (words, ignored) = (words.clone(), ignored.clone());
        let read = move |history: &History| {
            history.search_on((&words, &ignored), &mut found, AT_A_TIME)?;
            Ok(found)
        };
        match client.read_history(read).await {
            Some(Ok(more)) if more.goes_on.is_some() => found = more,
            Some(Ok(all)) => return Answer::Found(all).into(),
            Some(Err(error)) => {
                return What::Error(sanitise::line(&error.to_string()).into()).into();
            }
            None => return Told::default(),
        }
    }
}
