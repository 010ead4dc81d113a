//! The list of shared files: who may put what on it, and who is told of what.

use std::collections::{HashMap, HashSet};

use chat_protocol::{
    code,
    file::{
        catalogue::{Audience, CatalogueError, Found, Offer, Query},
        offer::OfferError,
    },
    hub::ClientToHub,
    id::MessageId,
    limits::OFFERS_PAGE_MAX,
    name::{ConversationId, ConversationKind},
};

use super::{Account, Decision, Pending, Router};
use crate::{
    catalogue::{Held, Place, Search, weight},
    limits::{OFFER_BYTES_MAX, OFFER_BYTES_PER_PERSON_MAX, OFFERS_PER_PERSON_MAX},
    request::{Peer, Refusal},
    store::{AccountId, NewOffer, NewShare, OfferRow, Proposal},
};

/// Shared files in the order of their owners' accounts and their ids.
#[derive(Debug)]
pub struct OffersPage {
    /// The page.
    pub offers: Vec<Found>,
    /// There are more.
    pub more: bool,
}

/// What the earlier requests of a batch do to the list.
#[derive(Debug, Default)]
pub(super) struct PendingOffers {
    /// At most so much is added, by owner.
    added: HashMap<AccountId, Held>,
    /// Whose request was put off: the next ones must not overtake it.
    put_off: HashSet<AccountId>,
}

/// Refuses a SHARE or FIND whose form is wrong, whatever is on the list, and an offer in clear that is
/// not the asker's own. Its signature is for those who find it. Folding words costs CPU, so this is for
/// the reader and not for the worker.
pub fn check_form(peer: &Peer, question: &ClientToHub) -> Result<(), Refusal> {
    match question {
        ClientToHub::Share { offers, ended, .. } => {
            if offers.len() > OFFERS_PAGE_MAX || ended.len() > OFFERS_PAGE_MAX {
                let reason = format!(
                    "{} offers and {} ended ones; at most {OFFERS_PAGE_MAX} of each go into one \
                     request, send several",
                    offers.len(),
                    ended.len()
                );
                return Err(Refusal::new(code::TOO_MANY, reason));
            }
            offers.iter().try_for_each(|offer| check_offer(peer, offer))
        }
        ClientToHub::Find { query, .. } => query.check().map_err(|error| refused(&error)),
        _ => Ok(()),
    }
}

fn check_offer(peer: &Peer, offer: &Offer) -> Result<(), Refusal> {
    let Some(signed) = offer.check().map_err(|error| refused(&error))? else { return Ok(()) };
    let header = signed.header();
    if header.u == peer.name && header.sk == peer.sk {
        return Ok(());
    }
    let reason = "an offer is signed by its owner, with the key of this session";
    Err(Refusal::new(code::NOT_ALLOWED, reason))
}

fn refused(error: &CatalogueError) -> Refusal {
    let code = match error {
        CatalogueError::TooMany { .. } => code::TOO_MANY,
        CatalogueError::Form | CatalogueError::Offer(OfferError::Elsewhere) => code::NOT_ALLOWED,
        _ => code::MALFORMED,
    };
    Refusal::new(code, error.to_string())
}

impl Router {
    /// What a SHARE asks of the store. Its form was checked by [`check_form`].
    ///
    /// First what `ended` names is taken off, then `offers` are put on; of two with one id the
    /// later counts.
    pub fn decide_share(
        &self,
        peer: &Peer,
        offers: &[Offer],
        ended: &[MessageId],
        pending: &mut Pending,
    ) -> Decision {
        let Some(account) = self.account(peer.account) else {
            return Decision::refuse(code::SIGN_IN, "this account is gone");
        };
        let decision = self.decide_offers(account, offers, ended, pending);
        if matches!(decision, Decision::Defer) {
            pending.offers.put_off.insert(account.id);
        }
        decision
    }

    fn decide_offers(
        &self,
        account: &Account,
        offers: &[Offer],
        ended: &[MessageId],
        pending: &mut Pending,
    ) -> Decision {
        if pending.offers.put_off.contains(&account.id) {
            return Decision::Defer;
        }
        let mut new = HashMap::new();
        for offer in offers {
            // Somebody comes or goes there in this batch, maybe the owner.
            if let Audience::Conversation(cid) = &offer.audience
                && pending.conversations.contains(cid)
                && !cid.is_direct()
            {
                return Decision::Defer;
            }
            if let Err(refusal) = self.place(account, &offer.audience) {
                return Decision::Refuse(refusal);
            }
            let Ok(text) = serde_json::to_string(offer) else {
                return Decision::refuse(code::MALFORMED, "this offer cannot be written down");
            };
            new.insert(offer.id, NewOffer { offer: offer.clone(), text: text.into() });
        }
        let mut added = Held::default();
        for NewOffer { offer, text } in new.values() {
            added = added.plus(Held { offers: 1, bytes: weight(offer, text) });
        }
        let gone: HashSet<MessageId> = ended.iter().chain(new.keys()).copied().collect();
        let freed = gone.iter().map(|id| self.catalogue.held_by((account.id, *id)));
        let freed = freed.fold(Held::default(), Held::plus);
        if let Some(decision) = self.has_no_room(account.id, added, freed, pending) {
            return decision;
        }
        let under_way = pending.offers.added.entry(account.id).or_default();
        *under_way = under_way.plus(added);
        let ended = ended.to_vec();
        let offers = new.into_values().collect();
        Decision::Propose(Proposal::Share(Box::new(NewShare { owner: account.id, offers, ended })))
    }

    /// Where an offer to an audience stands, or why its owner may not make it now.
    fn place(&self, owner: &Account, audience: &Audience) -> Result<Place, Refusal> {
        let Audience::Conversation(cid) = audience else { return Ok(Place::Everybody) };
        match cid.kind() {
            ConversationKind::Direct(..) => {
                let Some(other) = cid.other(&owner.name) else {
                    let reason = format!("{} is a conversation of others", cid.spoken());
                    return Err(Refusal::new(code::NOT_A_MEMBER, reason));
                };
                self.account_of(&other)
                    .map(|other| Place::Person(other.id))
                    .ok_or_else(|| self.no_such_user(&other))
            }
            ConversationKind::Room(room) if room.is_all() => {
                let reason = "everybody is the audience \"*\", with the details in clear; \
                              nothing is offered to ALL";
                Err(Refusal::new(code::NOT_ALLOWED, reason))
            }
            ConversationKind::Room(_) if self.closed(cid).is_none() && self.belongs(owner, cid) => {
                Ok(Place::Room(cid.clone()))
            }
            ConversationKind::Room(room) => {
                let reason = format!("you are not in #{room}; join it before you share with it");
                Err(Refusal::new(code::NOT_A_MEMBER, reason))
            }
            ConversationKind::Feed(_) => {
                let reason = "files are shared with everybody, a room or a person";
                Err(Refusal::new(code::NOT_ALLOWED, reason))
            }
        }
    }

    /// Whether the list has no room for more of one person. What earlier requests of the batch add
    /// is counted in full although they may replace: if only that is too much, they are applied
    /// first.
    fn has_no_room(
        &self,
        owner: AccountId,
        added: Held,
        freed: Held,
        pending: &Pending,
    ) -> Option<Decision> {
        if added.offers == 0 {
            return None;
        }
        let own = self.catalogue.held(owner).minus(freed).plus(added);
        let all = self.catalogue.total().minus(freed).plus(added);
        let pending_own = pending.offers.added.get(&owner).copied().unwrap_or_default();
        let pending_all = pending.offers.added.values().copied().fold(Held::default(), Held::plus);
        let is_own_too_much = |held: Held| {
            held.offers > OFFERS_PER_PERSON_MAX || held.bytes > OFFER_BYTES_PER_PERSON_MAX
        };
        if pending_all != Held::default() {
            // Something that is freed here may have been freed already.
            let (own, all) = (own.plus(freed).plus(pending_own), all.plus(freed).plus(pending_all));
            return (is_own_too_much(own) || all.bytes > OFFER_BYTES_MAX)
                .then_some(Decision::Defer);
        }
        let reason = if is_own_too_much(own) {
            format!(
                "a person shares at most {OFFERS_PER_PERSON_MAX} files and {} MiB of what is said \
                 about them; end some offers first",
                OFFER_BYTES_PER_PERSON_MAX >> 20
            )
        } else if all.bytes > OFFER_BYTES_MAX {
            "this server's list of files is full; try again when others have ended offers"
                .to_owned()
        } else {
            return None;
        };
        Some(Decision::refuse(code::TOO_MANY, reason))
    }

    pub(super) fn restore_offer(&mut self, row: OfferRow) {
        let OfferRow { owner, offer } = row;
        let place = self.account(owner).map(|account| self.place(account, &offer.audience));
        // An older server, which knows no offers, may have let the owner leave the room.
        let (Some(Ok(place)), Ok(text)) = (place, serde_json::to_string(&offer)) else { return };
        self.catalogue.put(owner, NewOffer { offer, text: text.into() }, place);
    }

    pub(super) fn apply_share(&mut self, new: NewShare) {
        for id in new.ended {
            self.catalogue.end((new.owner, id));
        }
        for offer in new.offers {
            let Some(account) = self.account(new.owner) else { return };
            // Decided in the same state, so it can still stand there.
            if let Ok(place) = self.place(account, &offer.offer.audience) {
                self.catalogue.put(new.owner, offer, place);
            }
        }
    }

    /// Who is not in a room any more offers nothing to it.
    pub(super) fn end_offers(&mut self, owner: AccountId, room: &ConversationId) {
        self.catalogue.end_all(owner, room);
    }

    /// How many offers are on the list, and what they cost.
    pub fn offers(&self) -> Held {
        self.catalogue.total()
    }

    /// How many offers one person has on the list.
    pub fn offers_of(&self, owner: AccountId) -> usize {
        self.catalogue.held(owner).offers
    }

    /// One page of the offers that were asked for and that the asker may see. The form was checked by [`check_form`].
    pub fn find(&self, asker: &Peer, query: &Query) -> Result<OffersPage, Refusal> {
        let Some(account) = self.account(asker.account) else {
            return Err(Refusal::new(code::SIGN_IN, "this account is gone"));
        };
        let known = |name| {
            let id = self.by_name.get(name).copied();
            id.ok_or_else(|| self.no_such_user(name))
        };
        let owner = query.owner.as_ref().map(known).transpose()?;
        let after = query
            .after
            .as_ref()
            .map(|(name, id)| Ok::<_, Refusal>((known(name)?, *id)))
            .transpose()?;
        let search = Search {
            asker: account.id,
            conversations: &account.conversations,
            words: &query.words,
            tokens: &query.tokens,
            owner,
            after,
        };
        let (found, more) = self.catalogue.find(&search, OFFERS_PAGE_MAX);
        let offers = found.into_iter().filter_map(|(owner, offer)| {
            let name = self.account(owner)?.name.clone();
            Some(Found { owner: name, online: self.is_online(owner), offer })
        });
        Ok(OffersPage { offers: offers.collect(), more })
    }
}
