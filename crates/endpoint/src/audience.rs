//! Who can read what others seal, by the keys that this device holds (rule R33): a key that was revoked
//! should not, and whoever belongs there should.

use std::collections::BTreeMap;

use chat_protocol::code;
use chat_protocol::id::Digest;
use chat_protocol::name::{ConversationId, UserName};

use crate::endpoint::Endpoint;
use crate::epochs::{first_of, named};
use crate::event::Alarm;
use crate::limits::{ALARM_NAMES_MAX, AWAY_SOON_MS, LINE_MISSING_MS, REVOKED_HELD_MS};
use crate::repair::Lack;

/// Somebody of whom a key in a list was revoked. One that the hub has shown as revoked comes before others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Revoked {
    /// No newest bundle says so that the hub has shown: a member has handed it over, or an older one says so.
    by_member: bool,
    /// Only one that is older than what the hub shows: whoever was shown another one of its number knows better.
    is_doubtful: bool,
    /// Since when that is held, Unix time in milliseconds.
    since_ms: u64,
}

/// How the list of an epoch differs from what is held here. Computed once, and anew when keys or members
/// change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audience {
    /// Whose revoked keys are in it.
    revoked: BTreeMap<UserName, Revoked>,
    /// Who belongs there and is not in it, sorted, and since when that is known.
    missing: BTreeMap<UserName, u64>,
}

impl Endpoint {
    /// Keys or members have changed.
    pub(crate) fn audiences_changed(&mut self) {
        self.link.audiences.clear();
    }

    /// Looks for whom an epoch is sealed that came, or in which something came, after the hub had sent
    /// all that waited: `came_ms` says when. What was under way then is no lie.
    pub(crate) fn check_lines(
        &mut self,
        now_ms: u64,
        (e, writer): (&Digest, &UserName),
        cid: &ConversationId,
        came_ms: Option<u64>,
    ) {
        let Some(came_ms) = came_ms else { return };
        if cid.is_feed() || self.link.behind.contains_key(cid) {
            return;
        }
        if !self.link.audiences.contains_key(e) {
            let audience = self.audience_of(now_ms, e);
            // A member can make one epoch after the other: nothing is kept of those that are forgotten.
            if self.link.audiences.len() > self.epochs.len() {
                self.link.audiences.retain(|e, _| self.epochs.get(e).is_some());
            }
            self.link.audiences.insert(*e, audience);
        }
        let Some(audience) = self.link.audiences.get(e) else { return };
        let live_ms = self.link.live_ms;
        let is_held =
            |since: u64, for_ms: u64| came_ms >= since.max(live_ms).saturating_add(for_ms);
        let missing = audience.missing.iter();
        let missing = missing.filter(|(_, since)| is_held(**since, LINE_MISSING_MS));
        let held: Vec<UserName> = missing.map(|(name, _)| name.clone()).collect();
        let is_nobody_missing = audience.missing.is_empty();
        let revoked = audience.revoked.clone();
        let due: Vec<_> = revoked
            .iter()
            .filter(|(_, revoked)| is_held(revoked.since_ms, REVOKED_HELD_MS))
            .collect();
        // Before it is told for whom they do.
        self.seals_for_revoked_no_more(writer, cid, &revoked);
        for of in due {
            self.seals_for_revoked(now_ms, (e, writer, came_ms), cid, of);
        }
        if is_nobody_missing {
            self.leaves_out_no_more(writer, cid);
        } else if !held.is_empty() {
            self.leaves_out((e, writer), held, cid);
        }
    }

    fn audience_of(&self, now_ms: u64, e: &Digest) -> Audience {
        let Some(epoch) = self.epochs.get(e) else { return Audience::default() };
        let lines = epoch.list.lines().iter();
        let found = lines.filter_map(|line| {
            let (since_ms, is_shown) = self.people.revoked_since(&line.name, &line.sk)?;
            let is_doubtful = !self.people.is_surely_revoked(&line.name, &line.sk);
            // What an older bundle alone says an honest hub may never have shown to the writer.
            let is_repeated = self.people.is_repeated(&line.name, &line.sk);
            let key = Revoked { by_member: !(is_shown && is_repeated), is_doubtful, since_ms };
            Some((line.name.clone(), key))
        });
        let mut revoked = BTreeMap::<UserName, Revoked>::new();
        for (name, key) in found {
            let first = revoked.entry(name).or_insert_with(|| key.clone());
            *first = key.min(first.clone());
        }
        // Who is about to be left out, because they were away for so long, is not missed.
        let (wanted, _) = self.list_at(now_ms.saturating_add(AWAY_SOON_MS), &epoch.cid);
        let missing =
            wanted.lines().iter().filter(|line| !epoch.list.contains(&line.name, &line.sk));
        let mut since = BTreeMap::new();
        for line in missing {
            let known = self.people.known_since(&line.name, &line.sk);
            let known = known.max(self.member_since(&epoch.cid, &line.name));
            // Of several devices the one that is missed first.
            let first = since.entry(line.name.clone()).or_insert(known);
            *first = known.min(*first);
        }
        Audience { revoked, missing: since }
    }

    /// When this device got the link by which somebody is in a room; 0 if that was before this connection.
    fn member_since(&self, cid: &ConversationId, name: &UserName) -> u64 {
        let room = self.state.rooms.get(cid);
        let link = room.and_then(|room| room.members().get(name)).map(|member| member.since);
        let grown = self.link.grown.get(cid).map(Vec::as_slice).unwrap_or_default();
        let known = link.and_then(|link| grown.iter().rfind(|(first, _)| *first <= link));
        known.map_or(0, |(_, at)| *at)
    }

    /// The chain of a room has grown from this link on.
    pub(crate) fn note_growth(&mut self, cid: &ConversationId, first: u32) {
        let now_ms = self.link.clock_ms;
        let grown = self.link.grown.entry(cid.clone()).or_default();
        grown.retain(|(_, at)| at.saturating_add(LINE_MISSING_MS) > now_ms);
        grown.push((first, now_ms));
        self.audiences_changed();
    }

    /// A writer seals for a revoked key, and is handed what revokes it. Where that is known by a member only, the hub may
    /// never have had it, and the writer is no part of it: the alarm waits until they have it, too.
    fn seals_for_revoked(
        &mut self,
        now_ms: u64,
        (e, writer, came_ms): (&Digest, &UserName, u64),
        cid: &ConversationId,
        (name, Revoked { by_member, is_doubtful, since_ms }): (&UserName, &Revoked),
    ) {
        let key = (cid.clone(), writer.clone(), name.clone());
        let is_told = *self.link.warned_of_keys.entry(key.clone()).or_default();
        let lack = Lack::Keys(name.clone());
        // What was handed over before this was known has said nothing of it.
        let handed = self.repaired_since(writer, lack.clone()).filter(|at| at > since_ms);
        if handed.is_none() {
            // One that the hub did not take is planned again when its time has come.
            self.plan_repair(now_ms, (e, writer), cid, lack);
        }
        if is_told || *is_doubtful {
            return;
        }
        if *by_member {
            let Some(at) = handed else { return };
            // What the server shows of these people is asked first.
            if at.saturating_add(REVOKED_HELD_MS) > came_ms || !self.ensure_view(cid) {
                return;
            }
        }
        self.link.warned_of_keys.insert(key, true);
        self.seals_for_others(cid, writer);
    }

    /// Names for whom a writer still seals in a conversation, as many as an alarm has room for, and how many more: of several
    /// alarms about one writer in one conversation within a minute the last one is told.
    pub(crate) fn seals_for_others(&mut self, cid: &ConversationId, writer: &UserName) {
        let is_here = |room: &ConversationId, who: &UserName| room == cid && who == writer;
        let gone = self.link.warned.iter().filter(|((room, who, _), _)| is_here(room, who));
        let gone: Vec<(&UserName, u32)> = gone.map(|((_, _, link), name)| (name, *link)).collect();
        let mut whom: Vec<String> =
            gone.iter().take(ALARM_NAMES_MAX).map(|gone| self.how_gone(cid, *gone)).collect();
        let more = gone.len().saturating_sub(ALARM_NAMES_MAX);
        whom.extend((more > 0).then(|| format!("{more} more who have gone")));
        let told = self.link.warned_of_keys.iter();
        let told = told.filter(|((room, who, _), is_told)| **is_told && is_here(room, who));
        let names: Vec<UserName> = told.map(|((_, _, of), _)| of.clone()).collect();
        if !names.is_empty() {
            whom.push(format!("devices that {} revoked", first_of(&names, ALARM_NAMES_MAX)));
        }
        let detail = format!(
            "{writer} still seals for {whom}: the server does not show it to {writer}, so whoever that is, or has such a \
             device, can read what {writer} says in {cid}",
            whom = whom.join(", and "),
            cid = cid.spoken()
        );
        self.out.alarm_in(cid, (Alarm::SealsForRemoved, writer), &detail);
    }

    /// Of whom no revoked key is in the list any more.
    fn seals_for_revoked_no_more(
        &mut self,
        writer: &UserName,
        cid: &ConversationId,
        revoked: &BTreeMap<UserName, Revoked>,
    ) {
        self.link
            .warned_of_keys
            .retain(|(room, who, of), _| room != cid || who != writer || revoked.contains_key(of));
    }

    /// A note, once for each name: it may be the writer's device or the server, or the writer says so (rule R40). The
    /// next epoch made here has everybody.
    fn leaves_out(
        &mut self,
        (e, writer): (&Digest, &UserName),
        missing: Vec<UserName>,
        cid: &ConversationId,
    ) {
        let key = (cid.clone(), writer.clone());
        let told = self.link.left_out_by.get(&key).cloned().unwrap_or_default();
        let is_news = missing.iter().any(|name| !told.contains(name));
        // What the server says of these people is asked first.
        if is_news && !self.ensure_view(cid) {
            return;
        }
        if is_news || missing.len() < told.len() {
            self.link.left_out_by.insert(key, missing.iter().cloned().collect());
        }
        let epoch = self.epochs.get(e);
        let is_named = |name: &UserName| epoch.is_some_and(|e| e.left_out.contains(name));
        let news = missing.into_iter().filter(|name| !told.contains(name));
        let (by_writer, unseen): (Vec<UserName>, Vec<UserName>) = news.partition(is_named);
        let by_writer = named(&by_writer).map(|names| {
            let why = format!(
                "{writer} knows {names} by another key, or was not shown the one that you know, or was told that \
                 they have gone"
            );
            (names, why)
        });
        let unseen = named(&unseen).map(|names| {
            let why = format!("the server does not show it to {writer}, or {writer} leaves it out");
            (names, why)
        });
        for (names, why) in by_writer.into_iter().chain(unseen) {
            let reason = format!(
                "what {writer} says in {cid} should reach every device of {names}, and does not: {why}",
                cid = cid.spoken()
            );
            self.out.complain(code::MEMBERS, &reason);
        }
    }

    fn leaves_out_no_more(&mut self, writer: &UserName, cid: &ConversationId) {
        if !self.link.left_out_by.is_empty() {
            self.link.left_out_by.remove(&(cid.clone(), writer.clone()));
        }
    }
}
