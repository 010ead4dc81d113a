//! Answering: whoever wrote to this user alone last, or a message that is quoted.

use std::time::Duration;

use chat_device::recipient::Recipient;
use chat_endpoint::Event;
use chat_protocol::name::{ConversationId, UserName};
use tokio::time::Instant;

use crate::conversations::Kind;
use crate::talk::Talk;
use crate::told::Told;

/// So long after a message of somebody else an answer may still be meant for who wrote before: whoever types it has
/// perhaps not read the newer one.
const SETTLE: Duration = Duration::from_secs(3);

/// Messages that are looked through for the one that is quoted.
const LOOKED_AT_MAX: usize = 400;

/// Characters of a quote: what was said is known to whoever is there.
const QUOTE_MAX: usize = 120;

/// Conversations of the home that are looked at for who wrote last, and messages of each.
const RECENT: (usize, usize) = (16, 20);

/// Who wrote to this user alone: the last two.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    last: Option<(UserName, Instant)>,
    before: Option<UserName>,
}

impl Writers {
    /// Takes what has come.
    pub(crate) fn note(&mut self, me: &UserName, event: &Event, now: Instant) {
        let Event::Message { cid, from, granted_by: None, .. } = event else { return };
        if !cid.is_direct() || from == me {
            return;
        }
        if let Some((writer, at)) = &mut self.last
            && writer == from
        {
            *at = now;
            return;
        }
        self.before = self.last.replace((from.clone(), now)).map(|(writer, _)| writer);
    }

    /// Whom an answer is for; or those of whom one is meant.
    fn meant(&self, now: Instant) -> Option<Result<&UserName, (&UserName, &UserName)>> {
        let (last, at) = self.last.as_ref()?;
        Some(match &self.before {
            Some(before) if now < *at + SETTLE => Err((last, before)),
            _ => Ok(last),
        })
    }
}

impl Talk {
    /// Where an answer goes, and its text; or what is said instead.
    pub(crate) async fn reply(
        &self,
        place: Recipient,
        quoted: Option<usize>,
        text: String,
    ) -> Result<(Recipient, String), Told> {
        if let Some(number) = quoted {
            let quote = self.quote(&place, number).await?;
            return Ok((place, format!("{quote}\n{text}")));
        }
        let user = match self.writers.meant(Instant::now()) {
            Some(Ok(user)) => Some(user.clone()),
            Some(Err((last, before))) => {
                return Err(Told::error(format!(
                    "nothing was sent: {last} has just written, too. To write to {last}: {last}*TEXT; \
                     to {before}: {before}*TEXT"
                )));
            }
            None => self.last_writer().await,
        };
        let nobody = "nobody has written to you alone; USER*TEXT writes to somebody";
        user.map(|user| (Recipient::User(user), text)).ok_or_else(|| Told::error(nobody))
    }

    /// Who wrote last, as the home has it.
    async fn last_writer(&self) -> Option<UserName> {
        let mut direct: Vec<(u64, ConversationId)> = self
            .conversations
            .iter()
            .filter(|one| one.kind == Kind::Person && one.last_ms > 0)
            .map(|one| (one.last_ms, one.cid.clone()))
            .collect();
        direct.sort_unstable_by(|one, other| other.cmp(one));
        let mut newest: Option<(u64, UserName)> = None;
        for (_, cid) in direct.into_iter().take(RECENT.0) {
            let page = self.earlier(&cid, None, RECENT.1).await;
            let theirs = page.into_iter().rev().find(|entry| !entry.is_own());
            if let Some(record) = theirs.map(|entry| entry.record)
                && newest.as_ref().is_none_or(|(at, _)| record.sent_ms > *at)
            {
                newest = Some((record.sent_ms, record.from));
            }
        }
        newest.map(|(_, user)| user)
    }

    /// The line of a message of somebody else in the current conversation, the newest being 1.
    async fn quote(&self, place: &Recipient, number: usize) -> Result<String, Told> {
        let nothing =
            || Told::error("there is no such message here; ^1 is the newest of somebody else");
        if self.rooms.current.is_none() {
            return Err(Told::error(crate::rooms::NO_ROOM));
        }
        let cid = place.conversation(&self.me).ok_or_else(nothing)?;
        let page = self.earlier(&cid, None, LOOKED_AT_MAX).await;
        let theirs = page.into_iter().rev().filter(|entry| !entry.is_own());
        let mut said = theirs.filter_map(|entry| Some((entry.record.from, entry.record.text?)));
        let (from, text) = said.nth(number.saturating_sub(1)).ok_or_else(nothing)?;
        Ok(format!("> {from}: {}", shortened(&text)))
    }
}

/// The beginning of the first line that says something of itself.
fn shortened(text: &str) -> String {
    let own = text.lines().find(|line| !line.starts_with("> ") && !line.trim().is_empty());
    let line = own.unwrap_or_default().trim();
    let mut characters = line.chars();
    let start: String = characters.by_ref().take(QUOTE_MAX).collect();
    if characters.next().is_some() { format!("{}…", start.trim_end()) } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_one_short_line_and_quotes_no_quote() {
        assert_eq!(shortened("hello"), "hello");
        assert_eq!(shortened("> bob: one\ntwo\nthree"), "two");
        assert_eq!(shortened("").len(), 0);
        assert_eq!(shortened(&"a".repeat(500)).chars().count(), QUOTE_MAX + 1);
    }

    #[test]
    fn an_answer_is_for_who_wrote_last_unless_somebody_else_just_did() {
        let user = |name: &str| UserName::new(name).unwrap();
        let (now, mut writers) = (Instant::now(), Writers::default());
        assert!(writers.meant(now).is_none());
        writers.last = Some((user("bob"), now));
        assert_eq!(writers.meant(now), Some(Ok(&user("bob"))));
        writers.before = Some(user("carol"));
        assert_eq!(writers.meant(now), Some(Err((&user("bob"), &user("carol")))));
        assert_eq!(writers.meant(now + SETTLE), Some(Ok(&user("bob"))));
    }
}
