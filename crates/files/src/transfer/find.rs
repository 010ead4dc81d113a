//! Looking for files: the hub's list, as far as it can be read here and was signed by whose it is.

use std::collections::HashMap;

use chat_endpoint::{Event, ListedOffer, OfferVerdict};
use chat_protocol::b64::B64Vec;
use chat_protocol::file::Manifest;
use chat_protocol::file::catalogue::{
    Audience, CatalogueError, Details, Found, IndexKey, Offer, Query, fold,
};
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::limits::{FIND_WORDS_MAX, INDEX_KEYS_MAX};
use chat_protocol::name::UserName;
use tokio::time::timeout;

use super::index::{self, Known};
use super::{ANSWER_MAX, Shared, TransferError};

/// Files that one question brings at most: more than anybody reads.
pub(super) const FOUND_MAX: usize = 1_000;

/// Pages that one question takes at most, of which nothing may be shown: some 32,000 offers.
const PAGES_MAX: usize = 1_024;

/// A file on somebody's list; its owner has signed that.
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
    /// The file, as the owner has signed it.
    pub file: Manifest,
    /// Keywords; of an offer to everybody the hub's word.
    pub words: Vec<String>,
}

/// A file that is listed under the name of somebody who has not signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forged {
    /// Under whose name.
    pub owner: UserName,
    /// Its name as it was listed; nothing where that cannot be read.
    pub name: Option<String>,
}

/// What a question found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Files, in the order of owner and offer.
    pub files: Vec<Listed>,
    /// Files that were offered to this person's rooms before their owner's key came here.
    pub unreadable: usize,
    /// What is not shown because its owner has not signed it.
    pub forged: Vec<Forged>,
    /// Copies that are not shown because newer ones of the same offers were seen before.
    pub outdated: usize,
    /// What is not shown because the key that signed it was revoked.
    pub revoked: usize,
    /// What is not shown because this user ignores whose it is.
    pub ignored: usize,
    /// There are more than are shown.
    pub more: bool,
}

impl Findings {
    /// Without the files of these people; they are counted.
    #[must_use]
    pub fn hiding(mut self, is_ignored: impl Fn(&UserName) -> bool) -> Self {
        let before = self.files.len() + self.forged.len();
        self.files.retain(|listed| !is_ignored(&listed.owner));
        self.forged.retain(|forged| !is_ignored(&forged.owner));
        self.ignored += before - self.files.len() - self.forged.len();
        self
    }
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
            self.pages(query, &opener(&keys), |_| true, &mut findings).await?;
        }
        Ok(findings)
    }

    /// Those files of one person that `is_wanted` takes, however many that person shares.
    pub(super) async fn find_of(
        &self,
        owner: &UserName,
        is_wanted: impl Fn(&Listed) -> bool,
    ) -> Result<Findings, TransferError> {
        self.has_keys().await;
        let (keep, me) = (self.keep.clone(), self.me.clone());
        let keys = super::aside(move || index::known(&keep, &me)).await??;
        let query = Query { owner: Some(owner.clone()), ..Query::default() };
        let mut findings = Findings::default();
        self.pages(query, &opener(&keys), is_wanted, &mut findings).await?;
        Ok(findings)
    }

    /// Asks for page after page, and keeps what is wanted.
    async fn pages(
        &self,
        mut query: Query,
        keys: &HashMap<(&str, &UserName), &IndexKey>,
        is_wanted: impl Fn(&Listed) -> bool,
        findings: &mut Findings,
    ) -> Result<(), TransferError> {
        for _ in 0..PAGES_MAX {
            let (offers, more) = self.page(query.clone()).await?;
            query.after = offers.last().map(|found| (found.owner.clone(), found.offer.id));
            self.judge(offers, keys, findings).await?;
            findings.files.retain(&is_wanted);
            if !more || query.after.is_none() {
                return Ok(());
            }
            if findings.files.len() >= FOUND_MAX {
                break;
            }
        }
        findings.more = true;
        Ok(())
    }

    /// Sorts a page into what is shown and what is not.
    async fn judge(
        &self,
        offers: Vec<Found>,
        keys: &HashMap<(&str, &UserName), &IndexKey>,
        findings: &mut Findings,
    ) -> Result<(), TransferError> {
        let (mut questions, mut readable) = (Vec::new(), Vec::new());
        for Found { owner, online, offer } in offers {
            let Some(Details { signed, words }) = open(&owner, &offer, keys) else {
                findings.unreadable += 1;
                continue;
            };
            let Offer { id, audience, .. } = offer;
            questions.push(ListedOffer {
                owner: owner.clone(),
                audience: audience.clone(),
                id,
                signed,
            });
            readable.push((owner, online, id, audience, words));
        }
        let verdicts = self.check(questions).await?;
        for ((owner, online, offer, audience, words), verdict) in readable.into_iter().zip(verdicts)
        {
            match verdict {
                OfferVerdict::Good(header) => {
                    let file = header.file();
                    findings.files.push(Listed { owner, online, offer, audience, file, words });
                }
                OfferVerdict::Outdated => findings.outdated += 1,
                OfferVerdict::Revoked => findings.revoked += 1,
                OfferVerdict::Forged { name } => findings.forged.push(Forged { owner, name }),
            }
        }
        Ok(())
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

/// The details of one offer; nothing where the key that opens them is not known. What is not in order
/// has nothing signed in it.
fn open(
    owner: &UserName,
    offer: &Offer,
    keys: &HashMap<(&str, &UserName), &IndexKey>,
) -> Option<Details> {
    let details = match &offer.audience {
        Audience::Everybody => {
            offer.check().and_then(|_| offer.open.clone().ok_or(CatalogueError::Form))
        }
        Audience::Conversation(cid) => keys.get(&(cid.as_str(), owner))?.open(offer),
    };
    match details {
        Ok(details) => Some(details),
        // The owner has another key by now, and has not told it here yet.
        Err(CatalogueError::Sealed) => None,
        Err(_) => {
            let signed = offer.open.as_ref().map(|details| details.signed.clone());
            let signed = signed.unwrap_or(B64Vec(Vec::new()));
            Some(Details { signed, words: Vec::new() })
        }
    }
}
