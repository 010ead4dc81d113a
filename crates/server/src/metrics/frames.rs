//! The figures of frames, tag by tag.

use chat_protocol::tag::Tag;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

/// One counter for each tag of a frame between people, and one for the JSON messages of the hub.
#[derive(Debug)]
pub struct PerTag {
    tags: Vec<(Tag, Counter)>,
    hub: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FrameLabels {
    tag: &'static str,
    direction: &'static str,
}

impl PerTag {
    pub(super) fn new(family: &Family<FrameLabels, Counter>, direction: &'static str) -> Self {
        let counter = |tag| family.get_or_create_owned(&FrameLabels { tag, direction });
        // An offer stands on a list and travels in no frame of its own.
        let tags = Tag::ALL.iter().filter(|tag| **tag != Tag::Offer);
        let tags = tags.map(|tag| (*tag, counter(tag.as_str()))).collect();
        Self { tags, hub: counter("HUB") }
    }

    /// The counter of a tag; `None` stands for a message between the hub and a client.
    pub fn of(&self, tag: Option<Tag>) -> &Counter {
        self.tags
            .iter()
            .find(|(known, _)| Some(*known) == tag)
            .map_or(&self.hub, |(_, counter)| counter)
    }
}
