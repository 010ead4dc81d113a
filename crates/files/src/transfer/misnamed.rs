//! Sections of `keyword.txt` that name a room or a person that is not there. Where one has taken the place of
//! a good one, what was shared there stays as it was until it is mended, as with any other slip.

use std::collections::{BTreeMap, BTreeSet};

use crate::folder::Shared as SharedFile;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::id::MessageId;
use chat_protocol::name::ConversationId;
use serde::{Deserialize, Serialize};

/// An offer whose file now stands only below sections for nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stay {
    /// Whom it is for; none for everybody.
    whom: Option<ConversationId>,
    /// The file, in the folder.
    name: String,
    /// The section below which it stands.
    below: ConversationId,
}

/// All of them, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Stays(BTreeMap<MessageId, Stay>);

/// What the folder says, and which of its sections are for nobody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sections<'a> {
    pub(super) shared: &'a [SharedFile],
    pub(super) foreign: &'a BTreeSet<ConversationId>,
}

impl<'a> Sections<'a> {
    /// The files below sections for nobody.
    fn for_nobody(self) -> impl Iterator<Item = (&'a SharedFile, &'a ConversationId)> {
        self.shared.iter().filter_map(move |of| match &of.audience {
            Audience::Conversation(cid) if self.foreign.contains(cid) => Some((of, cid)),
            _ => None,
        })
    }

    fn has(self, id: &MessageId) -> bool {
        self.shared.iter().any(|of| of.id == *id)
    }
}

impl Stays {
    /// What of the earlier ones still stands below such a section stays; what was mended or taken out does not.
    pub(super) fn retain(&mut self, sections: Sections<'_>) {
        let stands = |stay: &Stay| {
            sections
                .for_nobody()
                .any(|(of, cid)| of.name.as_str() == stay.name && *cid == stay.below)
        };
        self.0.retain(|id, stay| stands(stay) && !sections.has(id));
    }

    /// Sections for nobody are new: what was made of their files for others stays. Whether that is anything.
    pub(super) fn take(
        &mut self,
        sections: Sections<'_>,
        new: &BTreeSet<ConversationId>,
        made: &[&SharedFile],
        is_listed: impl Fn(&MessageId) -> bool,
    ) -> bool {
        let before = self.0.len();
        for (of, cid) in sections.for_nobody().filter(|(_, cid)| new.contains(*cid)) {
            for old in made.iter().filter(|old| old.name == of.name) {
                let whom = match &old.audience {
                    Audience::Everybody => None,
                    Audience::Conversation(old) if sections.foreign.contains(old) => continue,
                    Audience::Conversation(old) => Some(old.clone()),
                };
                if is_listed(&old.id) && !sections.has(&old.id) {
                    let (name, below) = (of.name.as_str().to_owned(), cid.clone());
                    self.0.insert(old.id, Stay { whom, name, below });
                }
            }
        }
        self.0.len() > before
    }

    /// The offers that stay, of the files as they are now.
    pub(super) fn files(&self, sections: Sections<'_>) -> Vec<SharedFile> {
        let files = self.0.iter().filter_map(|(id, stay)| {
            let mut now = sections.for_nobody();
            let (of, _) =
                now.find(|(of, cid)| of.name.as_str() == stay.name && **cid == stay.below)?;
            let audience = stay.whom.clone().map_or(Audience::Everybody, Audience::Conversation);
            Some(SharedFile { id: *id, audience, ..of.clone() })
        });
        files.collect()
    }
}
