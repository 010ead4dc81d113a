//! Looking for files: the hub's list, as far as it can be read here.

use std::collections::HashMap;

use chat_endpoint::Event;
use chat_protocol::file::catalogue::{Audience, Details, Found, IndexKey, Query, fold};
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::limits::{FIND_WORDS_MAX, INDEX_KEYS_MAX};
use chat_protocol::name::UserName;
use tokio::time::timeout;

use super::index::{self, Known};
use super::{ANSWER_MAX, Shared, TransferError};

/// Files that one question brings at most: more than anybody reads.
pub(super) const FOUND_MAX: usize = 1_000;

/// A file on somebody's list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Whose it is.
    pub owner: UserName,
    /// Whether the owner is here.
    pub online: bool,
    /// The offer.
    pub offer: MessageId,
    /// Who may find it.
    pub audience: Audience,
    /// Name, size, root and keywords, as the owner says.
    pub details: Details,
}

/// What a question found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Files, in the order of owner and offer.
    pub files: Vec<Listed>,
    /// Files that were offered to this person's rooms before their owner's key came here.
    pub unreadable: usize,
    /// There are more than are shown.
    pub more: bool,
}

impl Shared {
    /// All files that have these words; without words all that this person may see.
    pub(super) async fn find(
        &self,
        words: &[String],
        owner: Option<UserName>,
    ) -> Result<Findings, TransferError> {
        let folded: Result<Vec<_>, _> = words.iter().map(|word| fold(word)).collect();
        let folded = folded?;
        if folded.len() > FIND_WORDS_MAX {
            return Err(TransferError::TooManyWords);
        }
        self.has_keys().await;
        let (keep, me) = (self.keep.clone(), self.me.clone());
        let keys = super::aside(move || index::known(&keep, &me)).await??;
        let mut findings = Findings::default();
        // A hub answers for so many keys at once; the clear offers are asked for with the first.
        let mut groups: Vec<&[Known]> = keys.chunks(INDEX_KEYS_MAX).collect();
        if groups.is_empty() || folded.is_empty() {
            groups = vec![&[]];
        }
        for (at, group) in groups.into_iter().enumerate() {
            let query = Query {
                words: if at == 0 { folded.clone() } else { Vec::new() },
                tokens: tokens(group, &folded),
                owner: owner.clone(),
                after: None,
            };
            self.pages(query, &opener(&keys), &mut findings).await?;
        }
        Ok(findings)
    }

    /// Asks for page after page.
    async fn pages(
        &self,
        mut query: Query,
        keys: &HashMap<(&str, &UserName), &IndexKey>,
        findings: &mut Findings,
    ) -> Result<(), TransferError> {
        loop {
            let (offers, more) = self.page(query.clone()).await?;
            query.after = offers.last().map(|found| (found.owner.clone(), found.offer.id));
            for found in offers {
                match read(found, keys) {
                    Some(listed) => findings.files.push(listed),
                    None => findings.unreadable += 1,
                }
            }
            if !more || query.after.is_none() {
                return Ok(());
            }
            if findings.files.len() >= FOUND_MAX {
                findings.more = true;
                return Ok(());
            }
        }
    }

    pub(super) async fn page(&self, query: Query) -> Result<(Vec<Found>, bool), TransferError> {
        let id = self.client.find(query).await.ok_or(TransferError::Offline)?;
        let answer = timeout(ANSWER_MAX, self.answers.expect(id).next()).await;
        match answer.map_err(|_late| TransferError::NoAnswer)? {
            Some(Event::Found { offers, more, .. }) => Ok((offers, more)),
            Some(Event::ListRefused { code, reason, .. }) => {
                Err(TransferError::Refused { code, reason })
            }
            _ => Err(TransferError::Offline),
        }
    }
}

fn tokens(keys: &[Known], words: &[String]) -> Vec<Vec<Nonce16>> {
    if words.is_empty() {
        return Vec::new();
    }
    let of = |known: &Known| words.iter().map(|word| known.key.token(word)).collect();
    keys.iter().map(of).collect()
}

fn opener(keys: &[Known]) -> HashMap<(&str, &UserName), &IndexKey> {
    keys.iter().map(|known| ((known.cid.as_str(), &known.owner), &known.key)).collect()
}

/// Reads one offer; nothing where its key is not known or it is not in order.
fn read(found: Found, keys: &HashMap<(&str, &UserName), &IndexKey>) -> Option<Listed> {
    let Found { owner, online, offer } = found;
    offer.check().ok()?;
    let details = match &offer.audience {
        Audience::Everybody => offer.open.clone()?,
        Audience::Conversation(cid) => keys.get(&(cid.as_str(), &owner))?.open(&offer).ok()?,
    };
    Some(Listed { owner, online, offer: offer.id, audience: offer.audience, details })
}
