//! What stands above the device: shows what comes, once, and runs commands, once. What it has shown
//! and begun is durable at once; what it tells the device is durable with the next step.

use std::{collections::BTreeSet, time::Duration};

use chat_endpoint::{
    Alarm, CommandEnd, Endpoint, Event, EventKey, MemberChange, Notification, store::Change,
};
use chat_protocol::{
    content::OutputStream,
    id::MessageId,
    name::{ConversationId, UserName},
};
use tokio::time::Instant;

use crate::{facts::Fact, world::now_ms};

/// How long a command runs.
const RUN_TIME: Duration = Duration::from_millis(120);

/// A command that runs.
struct Running {
    id: MessageId,
    ends_at: Instant,
    key: EventKey,
    to: UserName,
    outcome: CommandEnd,
}

/// The host of one device.
#[derive(Default)]
pub(super) struct Host {
    /// Durable events that were shown and are still in the device's rows.
    shown: BTreeSet<EventKey>,
    /// Commands that were begun; durable.
    journal: BTreeSet<MessageId>,
    /// In the order of their beginnings.
    running: Vec<Running>,
}

impl Host {
    /// The process has died.
    pub(super) fn died(&mut self) {
        self.running.clear();
    }

    /// A step was committed: an event that is gone from the rows never comes again, and its key is
    /// free.
    pub(super) fn committed(&mut self, changes: &[Change]) {
        for change in changes.iter().filter(|change| change.value.is_none()) {
            let order = change.key.strip_prefix("event/").and_then(|order| order.parse().ok());
            if let Some(order) = order {
                self.shown.remove(&EventKey(order));
            }
        }
    }

    /// When the next command ends.
    pub(super) fn due(&self) -> Option<Instant> {
        self.running.iter().map(|running| running.ends_at).min()
    }

    /// Reports what has ended.
    pub(super) fn end_commands(&mut self, endpoint: &mut Endpoint) {
        let now = Instant::now();
        for Running { id, key, to, outcome, .. } in
            self.running.extract_if(.., |running| running.ends_at <= now)
        {
            let (stream, data) = (OutputStream::Stdout, b"done\n".to_vec());
            endpoint.report_output(now_ms(), &to, id, stream, data);
            endpoint.report_outcome(now_ms(), &to, outcome);
            endpoint.consumed(key);
        }
    }

    /// Deals with one event; what is worth writing down comes back.
    pub(super) fn take(
        &mut self,
        me: &str,
        endpoint: &mut Endpoint,
        notification: Notification,
    ) -> Vec<Fact> {
        let Notification { key, event } = notification;
        if let Event::Command { id, digest, from, command, .. } = event {
            // Commands are durable events, and have one.
            let Some(key) = key else { return Vec::new() };
            let outcome = |code: &str| CommandEnd {
                re: id,
                of: digest,
                status: code.is_empty().then_some(0),
                code: code.to_owned(),
                reason: String::new(),
            };
            if !self.journal.insert(id) {
                // Begun in an earlier life: nobody knows how it ended.
                endpoint.report_outcome(now_ms(), &from, outcome("E_INTERRUPTED"));
                endpoint.consumed(key);
                return Vec::new();
            }
            endpoint.report_started(now_ms(), &from, id);
            let (ends_at, outcome) = (Instant::now() + RUN_TIME, outcome(""));
            self.running.push(Running { id, ends_at, key, to: from, outcome });
            let argv = command.argv.get(1).cloned().unwrap_or_default();
            return vec![Fact::Ran { on: me.to_owned(), id, argv }];
        }
        if let Some(key) = key {
            endpoint.consumed(key);
            if !self.shown.insert(key) {
                return Vec::new();
            }
        }
        if let Event::Alarm { kind: Alarm::Fork, detail, .. } = &event
            && detail.contains("until you take it")
        {
            // A person looks, and takes what the hub shows.
            endpoint.accept_room(&ConversationId::parse("room:crew").unwrap());
        }
        let learned = learned(me, &event);
        learned.into_iter().chain(fact(me.to_owned(), event)).collect()
    }
}

/// What an event means to a person.
#[expect(clippy::too_many_lines, reason = "one line for each kind of event")]
fn fact(me: String, event: Event) -> Option<Fact> {
    let trouble = |me: String, what: String| Some(Fact::Trouble { at: me, what });
    match event {
        Event::Message { id, cid, from, text, position, .. } => {
            let (from, place) = (from.to_string(), cid.to_string());
            // What a sender or a member hands over stands nowhere in the log.
            let position = Some(position).filter(|position| *position > 0);
            Some(Fact::Shown { to: me, from, id, place, position, text })
        }
        Event::Ended { re, code, .. } => Some(Fact::Ended { by: me, id: re, code }),
        Event::Delivered { id, by, readable, .. } => {
            Some(Fact::Delivered { writer: me, id, by: by.to_string(), readable })
        }
        Event::Stored { id, position, recipients, .. } => {
            let recipients = recipients.iter().map(ToString::to_string).collect();
            Some(Fact::Stored { by: me, id, position, recipients })
        }
        Event::Refused { id, code, .. } => Some(Fact::Refused { by: me, id, code }),
        Event::Joined { id: Some(id), .. } | Event::Left { id: Some(id), .. } => {
            Some(Fact::Done { by: me, id })
        }
        Event::Joined { cid, .. } => Some(Fact::Joined { who: me, place: cid.to_string() }),
        Event::MemberChanged { id: Some(id), .. } => Some(Fact::Done { by: me, id }),
        Event::Unreadable { from, id, reason, .. } => {
            trouble(me, format!("cannot read {id} of {from}: {reason}"))
        }
        Event::Gap { cid, from, missing } => {
            let (from, place) = (from.to_string(), cid.to_string());
            Some(Fact::Gap { at: me, from, place, missing })
        }
        Event::Healed { cid, from, n } => {
            let (from, place) = (from.to_string(), cid.to_string());
            Some(Fact::Healed { at: me, from, place, n })
        }
        Event::Unhealed { cid, from, n, .. } => {
            let (from, place) = (from.to_string(), cid.to_string());
            Some(Fact::Unhealed { at: me, from, place, n })
        }
        Event::Disowned { id, .. } => Some(Fact::Disowned { at: me, id }),
        Event::Dropped { cid, from, messages, .. } => {
            let (from, place) = (from.map(|from| from.to_string()), cid.to_string());
            Some(Fact::Dropped { at: me, from, place, messages })
        }
        Event::Alarm { kind, user, detail, count } => {
            let (kind, detail) = (kind.as_str(), format!("{user}: {detail}"));
            Some(Fact::Alarm { at: me, kind, detail, count })
        }
        Event::Complaint { code, reason, .. } => trouble(me, format!("complaint {code}: {reason}")),
        Event::OutputLost { re, pieces } => Some(Fact::OutputLost { at: me, re, pieces }),
        Event::Command { .. }
        | Event::CommandPassed { .. }
        | Event::Cancel { .. }
        | Event::MemberChanged { .. }
        | Event::Left { .. }
        | Event::Late { .. }
        | Event::Started { .. }
        | Event::Output { .. }
        | Event::Presence { .. }
        | Event::NewDevice { .. }
        | Event::People { .. }
        | Event::Refreshed { .. }
        | Event::Subscriptions { .. }
        | Event::Topic { .. }
        | Event::Retention { .. }
        | Event::Moderated { .. }
        | Event::Rooms { .. }
        | Event::File { .. }
        | Event::Shared { .. }
        | Event::Found { .. }
        | Event::OffersChecked { .. }
        | Event::ListRefused { .. }
        | Event::Away { .. }
        | Event::Settings { .. }
        | Event::Announcement { .. } => None,
    }
}

/// What an event tells of who is in a room.
fn learned(me: &str, event: &Event) -> Option<Fact> {
    let Event::MemberChanged { cid, change, who, by, .. } = event else { return None };
    let is_in = match change {
        MemberChange::Joined | MemberChange::Added => true,
        MemberChange::Left | MemberChange::Removed | MemberChange::Banned => false,
        MemberChange::Admin | MemberChange::NoAdmin => return None,
    };
    let (place, who, by) = (cid.to_string(), who.to_string(), by.to_string());
    Some(Fact::Learned { at: me.to_owned(), place, who, is_in, by })
}
