//! Durable events that are on the screen are dealt with, and the device is told so beside the screen: it may wait for
//! its disk, and a key must not wait for it.

use chat_device::client::Client;
use chat_endpoint::EventKey;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;

/// Durable events that may be on their way; while there are more, nothing is taken from the device.
const SHOWN_MAX: usize = 1_024;

/// Events by how far they have come.
pub(super) struct Shown {
    /// On the screen with the next frame.
    told: Vec<EventKey>,
    /// On the screen.
    drawn: Vec<EventKey>,
    /// Where the device is told; none at the end.
    out: Option<Sender<Vec<EventKey>>>,
    teller: Option<JoinHandle<()>>,
}

impl Shown {
    /// Of this device.
    pub(super) fn new(client: Client) -> Self {
        let (out, mut keys) = mpsc::channel::<Vec<EventKey>>(1);
        let teller = tokio::spawn(async move {
            while let Some(batch) = keys.recv().await {
                for key in batch {
                    client.consumed(key).await;
                }
            }
        });
        Self { told: Vec::new(), drawn: Vec::new(), out: Some(out), teller: Some(teller) }
    }

    /// An event was put on the screen, if this is one.
    pub(super) fn add(&mut self, key: Option<EventKey>) {
        self.told.extend(key);
    }

    /// A frame was drawn.
    pub(super) fn are_drawn(&mut self) {
        self.drawn.append(&mut self.told);
    }

    /// Whether no further one may come.
    pub(super) fn is_full(&self) -> bool {
        self.told.len() + self.drawn.len() >= SHOWN_MAX
    }

    /// Hands on what was drawn, when there is something and the device has dealt with those before. May be dropped
    /// at any time without loss.
    pub(super) async fn hand_on(&mut self) {
        match &self.out {
            Some(out) if !self.drawn.is_empty() => {
                if let Ok(permit) = out.reserve().await {
                    permit.send(std::mem::take(&mut self.drawn));
                }
            }
            _ => std::future::pending().await,
        }
    }

    /// Hands on the rest of what was drawn, and waits until the device has all.
    pub(super) async fn finish(&mut self) {
        if let Some(out) = self.out.take()
            && !self.drawn.is_empty()
        {
            // Without the other end there is nobody to tell.
            out.send(std::mem::take(&mut self.drawn)).await.ok();
        }
        if let Some(teller) = self.teller.take() {
            teller.await.ok();
        }
    }
}
